"""ELL's tools that refuse, fail, hang or are of another version: what is said, and what goes on without them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, DeadlineExceeded, ModelFormatError
from ellopt.core.options import ELL_DEFAULT
from ellopt.core.plan import Plan
from ellopt.model.graph import Model
from ellopt.targets import Target, find_target
from ellopt.toolchains.ell.compile import Header
from ellopt.toolchains.ell.toolchain import EllToolchain
from ellopt.toolchains.ell.tools import EllTools
from tests.support.ell_builds import commands, fake


def test_a_model_that_ell_does_not_see_the_same_is_refused(tools: EllTools, tiny: Model, tmp_path: Path) -> None:
    other = fake(tmp_path / "print", "echo '<id:1034> ConvolutionalLayerNode<float>()'")
    with pytest.raises(
        ModelFormatError, match=r"tiny16.ell: ELL sees the convolution layers 1034, the file has 1034, 1038"
    ):
        EllToolchain(replace(tools, print=other)).prepare(tiny)
    failing = fake(tmp_path / "print", "echo 'exception: unknown type' >&2; exit 1")
    with pytest.raises(ModelFormatError, match=r"cannot read the model \(exit code 1\): exception: unknown type"):
        EllToolchain(replace(tools, print=failing)).prepare(tiny)


def test_the_output_of_a_failed_compilation_is_kept(
    tools: EllTools, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path
) -> None:
    broken = fake(tmp_path / "compile", "echo 'LLVM ERROR: out of registers'; exit 1")
    toolchain = EllToolchain(replace(tools, compile=broken))
    with pytest.raises(BuildError, match=r"ended with exit code 1: LLVM ERROR: out of registers") as caught:
        toolchain.build(tiny, tiny_plans[:1], host, tmp_path / "state" / "bundles", Deadline.after(60))
    (kept,) = (tmp_path / "state" / "failed-builds").iterdir()
    assert str(kept) in str(caught.value)
    assert "--nodeOption 1034,preferredConvolutionMethod,unrolled" in (kept / "output.txt").read_text()
    assert "out of registers" in caught.value.log
    assert not commands(tmp_path / "state" / "bundles")


def test_a_compiler_that_hangs_is_ended(
    tools: EllTools, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path
) -> None:
    hanging = fake(tmp_path / "compile", "sleep 100")
    toolchain = EllToolchain(replace(tools, compile=hanging))
    with pytest.raises(DeadlineExceeded):
        toolchain.build(tiny, tiny_plans[:1], host, tmp_path / "b", Deadline.after(0.5))
    assert not list((tmp_path / "b" / "plans").iterdir())


def test_missing_blas_is_said_once(
    tiny: Model, tools: EllTools, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    toolchain = EllToolchain(replace(tools, blas=None, compile=fake(tmp_path / "compile", "exit 1")))
    plan = Plan.uniform([node.node_id for node in tiny.convolutions], ELL_DEFAULT)
    with caplog.at_level(logging.WARNING):
        for name in ("host", "host", "pi3"):
            with pytest.raises(BuildError):
                toolchain.build(tiny, [plan], find_target(name), tmp_path / "b", Deadline.after(60))
    told = [record.message for record in caplog.records if "seven times" in record.message]
    assert ["OpenBLAS was not found here" in line for line in told] == [True, False]


def header(tmp_path: Path, text: str, profiled: bool = False) -> Header:
    (tmp_path / "model.h").write_text(text)
    return Header.read(tmp_path / "model.h", profiled)


SIZES = "int32_t ELL_GetInputSize({0});\nint32_t ELL_GetOutputSize({0});\n"


def test_headers_of_other_versions(tmp_path: Path) -> None:
    older = header(tmp_path, "void ELL_Predict(double*, double*);\n" + SIZES.format(""))
    assert (older.value, older.context, older.indexed) == ("double", False, False)
    newer = header(
        tmp_path, "void ELL_Predict(void* context, float* input0, float* output0);" + SIZES.format("int32_t i")
    )
    assert (newer.value, newer.context, newer.indexed) == ("float", True, True)
    with pytest.raises(BuildError, match="does not declare ELL_Predict"):
        header(tmp_path, "void model_Predict(float*, float*);")
    with pytest.raises(BuildError, match="one input and one output"):
        header(tmp_path, "void ELL_Predict(void* c, float* a, float* b, float* d);" + SIZES.format(""))
    with pytest.raises(BuildError, match="does not declare ELL_GetNumNodes"):
        header(tmp_path, older.text, profiled=True)
