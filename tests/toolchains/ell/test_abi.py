"""What ELL's compile makes for a board fits the program: processor, floating-point arguments, what tools were told."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError
from ellopt.core.plan import Plan
from ellopt.model.graph import Model
from ellopt.targets import TARGETS, Target, find_target
from ellopt.toolchains.ell.abi import require_fit
from ellopt.toolchains.ell.compile import EllCompiler
from ellopt.toolchains.ell.toolchain import EllToolchain
from ellopt.toolchains.ell.tools import EllTools
from ellopt.toolchains.zig import Compiler
from tests.support.paths import TINY

SOFT = "arm-linux-musleabi"
CODE = "float expf(float); float f(float x, double y) { return expf(x) + (float)y; }"


@cache
def compiled(triple: str) -> bytes:
    """Code that passes numbers, as the compiler makes it for ``triple``."""
    base = find_target("pi3_64" if triple.startswith("aarch64") else "pi3")
    compiler = Compiler(replace(base, triple=triple), (), Path(mkdtemp()) / "cache")
    return compiler.objects({"code": CODE}, Deadline.after(300))["code"].read_bytes()


@pytest.mark.parametrize("target", [t for t in TARGETS.values() if not t.is_host], ids=lambda target: target.name)
def test_only_objects_that_fit_are_linked(target: Target) -> None:
    require_fit(compiled(target.triple), target)
    with pytest.raises(ValueError, match="another processor"):
        require_fit(compiled("aarch64-linux-musl" if target.triple.startswith("arm-") else SOFT), target)
    if target.triple.startswith("arm-"):
        with pytest.raises(ValueError, match=rf"numbers in integer registers, programs for {target.name} in floating"):
            require_fit(compiled(SOFT), target)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_objects_are_refused_or_accepted_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(compiled(find_target("pi3").triple))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        require_fit(bytes(whole[: data.draw(st.integers(0, len(whole)))]), find_target("pi3"))


@pytest.mark.parametrize("name", ["pi0", "pi3", "orangepi0", "pi3_64", "aarch64"])
def test_all_programs_are_told_of_one_machine(
    tools: EllTools, tiny_plans: tuple[Plan, ...], name: str, tmp_path: Path
) -> None:
    """compile by its own name of the target, llc by a triple and a processor, zig by another triple: they agree."""
    target = find_target(name)
    assert target.ell_name == name
    made = tmp_path / "state" / "plans" / "plan"
    for form in EllCompiler(tools, False).compile(TINY, tiny_plans[0], target, True, made, Deadline.after(300)):
        require_fit(form.object.read_bytes(), target)
    commands = made / "commands.txt"
    compile_, opt, llc = map(shlex.split, commands.read_text(encoding="utf-8").splitlines())
    assert compile_[compile_.index("--target") + 1] == target.ell_name
    assert compile_[compile_.index("--blas") + 1] == "false"
    assert not any(word.startswith(("-mtriple", "-mcpu", "-data-layout")) for word in opt), "the bitcode says it"
    triple = next(word for word in llc if word.startswith("-mtriple=")).removeprefix("-mtriple=")
    assert re.sub(r"^armv7", "arm", triple).partition("-")[0] == target.triple.partition("-")[0]
    assert triple.endswith("gnueabihf") == target.triple.endswith("musleabihf")
    assert not any(word.startswith("-float-abi") for word in llc), "the triple says it"
    cpu = next((word.removeprefix("-mcpu=") for word in llc if word.startswith("-mcpu=")), "")
    named = {t.compiler_cpu.partition("-")[0] for t in TARGETS.values() if t.ell_name == target.ell_name}
    assert not cpu or cpu.replace("-", "_") in named


def test_code_that_passes_numbers_otherwise_is_not_linked(
    tools: EllTools, tiny: Model, tiny_plans: tuple[Plan, ...], tmp_path: Path
) -> None:
    (tmp_path / "soft.o").write_bytes(compiled(SOFT))
    llc = tmp_path / "llc"
    llc.write_text(f'#!/bin/sh\ncp "{tmp_path}/soft.o" "$3"\n')  # llc INPUT -o OUTPUT ...
    llc.chmod(0o755)
    toolchain = EllToolchain(replace(tools, opt=tools.opt or tools.compile, llc=llc))
    with pytest.raises(BuildError, match=r"_opt\.o cannot be linked: it passes numbers in integer registers"):
        toolchain.build(tiny, tiny_plans[:1], find_target("pi3"), tmp_path / "bundles", Deadline.after(300))
