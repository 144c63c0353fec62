"""Every word of 32-bit code that kernels and runtime are compiled to is decoded, and none of it is Thumb."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.sources import C_FOLDERS, c_text
from ellopt.core.deadline import Deadline
from ellopt.core.options import ConvolutionOptions
from ellopt.estimate.a32.decode import decode
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler, cpu_of
from tests.support.kernels import plain_site

LAYERS = ("simple", "unrolled", "winograd t2", "winograd t4")
RUNTIME = ("ellopt_pool.c", "ellopt_pooling.c", "ellopt_layers.c", "ellopt_general.c")


def marked(program: Path) -> Iterator[tuple[str, int]]:
    """Words of an object file's code, each with the assembler's mark: ``$a`` ARM, ``$t`` Thumb, ``$d`` data."""
    data = program.read_bytes()
    [start] = struct.unpack_from("<I", data, 32)
    size, count = struct.unpack_from("<HH", data, 46)
    sections = [struct.unpack_from("<10I", data, start + size * i) for i in range(count)]
    [symbols] = [s for s in sections if s[1] == 2]
    names = sections[symbols[6]][4]
    marks: dict[int, dict[int, str]] = {}
    for at in range(symbols[4], symbols[4] + symbols[5], 16):
        name, value, _, _, _, section = struct.unpack_from("<IIIBBH", data, at)
        text = data[names + name : data.index(b"\0", names + name)].decode()
        if text[:2] in ("$a", "$t", "$d"):
            marks.setdefault(section, {})[value] = text[:2]
    for number, section in enumerate(sections):
        if section[1] == 1 and section[2] & 4:  # executable contents
            mark = ""
            for offset in range(0, section[5], 4):
                mark = marks.get(number, {}).get(offset, mark)
                yield mark, struct.unpack_from("<I", data, section[4] + offset)[0]


@pytest.mark.parametrize("name", ["pi0", "pi3", "pi4"])
def test_all_that_is_compiled_is_decoded(name: str, tmp_path: Path) -> None:
    target = find_target(name)
    site = replace(plain_site(16, 16, 20, 24), cpu=cpu_of(target))
    sources = {text: kernel_for(site, ConvolutionOptions.parse(text)).source("kernel") for text in LAYERS}
    sources |= {file: c_text(file) for file in RUNTIME}
    objects = Compiler(target, C_FOLDERS, tmp_path).objects(sources, Deadline.after(300))
    words = {found for path in objects.values() for found in marked(path)}
    assert {mark for mark, _ in words} <= {"$a", "$d"}
    code = [word for mark, word in words if mark == "$a"]
    assert len(code) > 1000
    assert not [hex(word) for word in code if decode(word).kind == "unknown"]
