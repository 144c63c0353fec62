"""The inner loop of the matrix multiplication, as the compiler makes it for the boards: multiply-adds, no spills."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.core.options import ConvolutionOptions
from ellopt.targets import TARGETS, Target
from ellopt.toolchains.zig import compile_flags, cpu_of
from tests.support.kernels import INCLUDES

_MULTIPLY_ADD = {
    "pi3_64": r"\tfmla\tv\d+\.4s",
    "pi4_64": r"\tfmla\tv\d+\.4s",
    "pi4": r"\tvmla\.f32\tq\d+, q\d+, d\d+\[",
    "pi3": r"\tvmla\.f32\tq\d+, q\d+, d\d+\[",
    "orangepi0": r"\tvfma\.f32\tq\d+",
    "pi0": r"\tvmla\.f32\ts\d+",
}


def inner_loops(assembly: str) -> list[list[str]]:
    """The bodies of the innermost loops: from a label to a branch back to it, without a label between. Labels are the
    compiler's, .LBB, or those of assembly in the C file, .Ltmp."""
    lines = [line for line in assembly.splitlines() if re.match(r"(\.LBB|\.Ltmp)\w+:|\t[a-z]", line)]
    labels: dict[str, int] = {}
    found = []
    for i, line in enumerate(lines):
        if label := re.match(r"(\.L\w+):", line):
            labels[label[1]] = i
        elif (target := re.search(r"\tc?b[a-z.]*\t.*?(\.L\w+)", line)) and target[1] in labels:
            body = lines[labels[target[1]] + 1 : i + 1]
            if not any(inside.startswith(".L") for inside in body):
                found.append(body)
    return found


def assemble(target: Target, blocking: str, tmp_path: Path) -> str:
    site = KernelSite(
        *(16, 16, 64, 128, 3, 1, False, 18 * 64, 64, 16 * 128, 128, "relu"),
        cpu=cpu_of(target),
    )
    source = tmp_path / "kernel.c"
    source.write_text(kernel_for(site, ConvolutionOptions("unrolled", gemm_blocking=blocking)).source("kernel"))
    command = [sys.executable, "-m", "ziglang", "cc", *compile_flags(target), "-g0", "-S"]
    command += [*INCLUDES, str(source), "-o", str(tmp_path / "kernel.s")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "kernel.s").read_text()


@pytest.mark.parametrize("name", _MULTIPLY_ADD)
def test_inner_loop_multiplies_and_adds_vectors_without_spills(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for blocking in ("", *cpu_of(target).blockings):
        loops = inner_loops(assemble(target, blocking, tmp_path))
        pattern = re.compile(_MULTIPLY_ADD[name])
        counts = [sum(bool(pattern.match(line)) for line in loop) for loop in loops]
        hot = [loop for loop, count in zip(loops, counts, strict=True) if count == max(counts)]
        assert max(counts) >= 8, f"{name} {blocking}: no multiply-adds in the inner loop"
        for loop in hot:
            assert max(counts) >= len(loop) * 0.4, f"{name} {blocking}: {len(loop)} instructions"
            assert not [line for line in loop if "Spill" in line or "Reload" in line], f"{name} {blocking}"
