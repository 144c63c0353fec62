"""Objects that define the same symbols, linked into one program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.targets import find_target
from ellopt.toolchains.ell.object import rename_symbols
from ellopt.toolchains.zig import Compiler

MODEL = """
#include <stdlib.h>
static int twice(int x) {{ return 2 * x; }}
int helper(int x) {{ return abs(twice(x)) + {number}; }}
int ELL_Predict(int x) {{ return helper(x); }}
"""
MAIN = """
#include <stdio.h>
int a_ELL_Predict(int), b_ELL_Predict(int);
int main(void) { printf("%d %d", a_ELL_Predict(-3), b_ELL_Predict(-3)); return 0; }
"""


@pytest.mark.parametrize("name", ["host", "pi3"])
def test_two_models_in_one_program(tmp_path: Path, name: str) -> None:
    target = find_target(name)
    emulator = [] if target.is_host else [shutil.which("qemu-arm") or shutil.which("qemu-arm-static") or ""]
    if emulator == [""]:
        pytest.skip("no qemu-arm here (Debian package qemu-user)")
    compiler, deadline = Compiler(target, (), tmp_path / "cache"), Deadline.after(300)
    sources = {"main": MAIN, "a": MODEL.format(number=100), "b": MODEL.format(number=200)}
    objects = compiler.objects(sources, deadline)
    for model in ("a", "b"):
        data, names = rename_symbols(objects[model].read_bytes(), f"{model}_")
        assert {"ELL_Predict", "helper"} >= set(names) >= {"ELL_Predict"}  # not abs, and not what is static
        objects[model] = tmp_path / f"{model}.o"
        objects[model].write_bytes(data)
    compiler.link(objects.values(), tmp_path / "program", deadline)
    command = [*emulator, str(tmp_path / "program")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "106 206"


@given(st.binary(max_size=80), st.booleans())
def test_what_is_no_object_is_refused(data: bytes, looks_like_one: bool) -> None:
    data = b"\x7fELF" * looks_like_one + data
    with pytest.raises(ValueError, match="ELF object"):
        rename_symbols(data, "x_")
