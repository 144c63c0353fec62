"""The inner loop of winograd's products on ARM: multiply-accumulate on vectors, and nothing spilt to the stack."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.codegen.convolution.base import kernel_for
from ellopt.core.options import ConvolutionOptions
from ellopt.targets import TARGETS
from ellopt.toolchains.zig import compile_flags, cpu_of
from tests.support.kernels import INCLUDES, plain_site


def assembly(target: str, tile: int, folder: Path) -> dict[str, list[str]]:
    """The instructions of each function of a 64 to 64 channel layer's kernel for ``target``."""
    row = TARGETS[target]
    site = replace(plain_site(16, 16, 64, 64), cpu=cpu_of(row))
    kernel = kernel_for(site, ConvolutionOptions("winograd", winograd_tile_size=tile))
    source, text = folder / "kernel.c", folder / "kernel.s"
    source.write_text(kernel.source("kernel"))
    command = [sys.executable, "-m", "ziglang", "cc", *compile_flags(row), "-g0", "-S"]
    command += [*INCLUDES, str(source), "-o", str(text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    functions: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.read_text().splitlines():
        if label := re.match(r"(\w+):", line):
            lines = functions.setdefault(label[1], [])
        else:
            lines.append(line.strip())
    return functions


def innermost_loop(lines: list[str], multiply: str) -> list[str]:
    """The loop (label to backward branch) with the most instructions that match ``multiply``."""
    loops = []
    for start, line in enumerate(lines):
        if label := re.match(r"(\.L\w+):", line):
            ends = [i for i in range(start, len(lines)) if re.match(rf"b\S*\s+{re.escape(label[1])}$", lines[i])]
            bodies = [lines[start + 1 : end + 1] for end in ends[:1]]
            loops += [body for body in bodies if not any(re.match(r"\.L\w+:", inside) for inside in body)]
    assert loops, "no loop found"
    return max(loops, key=lambda loop: sum(bool(re.match(multiply, x)) for x in loop))


@pytest.mark.parametrize("target", ["pi4_64", "pi5"])
def test_the_loop_that_derives_weights_spills_nothing(target: str, tmp_path: Path) -> None:
    multiply = r"fmla\s+v\d+\.4s, v\d+\.4s, v\d+\.s\["
    loop = innermost_loop(assembly(target, 44, tmp_path)["winograd_multiply_row"], multiply)
    assert sum(bool(re.match(multiply, line)) for line in loop) == 24
    assert sum(bool(re.match(r"f(add|sub)\s", line)) for line in loop) == 4
    assert not [line for line in loop if re.search(r"\[sp|^st", line)]


@pytest.mark.parametrize(
    ("target", "function", "multiply", "tile_registers"),
    [
        ("pi3_64", "multiply_group", r"fmla\s+v\d+\.4s, v\d+\.4s, v\d+\.s\[", 64),
        ("pi3", "winograd_multiply_tall_wide", r"vmla\.f32\s+q\d+, q\d+, d\d+\[", 16),
    ],
)
def test_inner_loop_multiplies_vectors_and_spills_nothing(
    target: str, function: str, multiply: str, tile_registers: int, tmp_path: Path
) -> None:
    functions = assembly(target, 4, tmp_path)
    loop = innermost_loop(functions[function], multiply)
    assert sum(bool(re.match(multiply, line)) for line in loop) >= tile_registers
    assert not [line for line in loop if re.search(r"\[(sp|r11|x29)\b", line)]
    memory = [line for line in loop if re.match(r"(ld|st|vld|vst|ldr|str)", line)]
    assert not [line for line in memory if line.startswith(("st", "vst"))]
    assert len(memory) < sum(bool(re.match(multiply, line)) for line in loop)
