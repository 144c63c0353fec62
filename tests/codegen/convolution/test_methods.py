"""A method from outside is tuned like the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ellopt.cli.main import main
from ellopt.codegen.convolution.base import GeneratedMethod
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import DirectPacking
from ellopt.codegen.sources import c_text
from ellopt.core.methods import Choices, MethodRow, method_names, register, unregister
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import Cpu
from tests.support.paths import TINY


class Toy(GeneratedMethod):
    """Direct loops from a C file of its own."""

    name = "toy"
    colour = "#123456"

    def __init__(self, template: Path) -> None:
        self.template = template

    def combinations(self, parallelize: bool, choices: Choices) -> Iterator[ConvolutionOptions]:
        yield ConvolutionOptions(self.name, parallelize)

    def applies(self, shape: ConvolutionShape) -> bool:
        return not shape.depthwise

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int
    ) -> ConvolutionOptions | None:
        return options

    def kernel(self, site: KernelSite, options: ConvolutionOptions) -> Kernel:
        return make_kernel(site, self.template, DirectPacking())

    def ell_can(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        return False


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    method = Toy(tmp_path / "toy.h")
    method.template.write_text(c_text("conv_simple.h"))
    register(MethodRow(method.name, method))
    yield method
    unregister(method.name)


def test_a_method_from_outside_is_tuned_and_written(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"convolution_methods": ["toy"], "parallel": [False], "winograd_parameters": []}
    (tmp_path / "space.json").write_text(json.dumps(space))
    monkeypatch.chdir(tmp_path)
    command = f"optimize --model_path {TINY} --target host --threads 1 --options space.json --sampler grid --no_mlflow"
    assert main([*command.split(), "--output_path", "out"]) == 0
    report = json.loads((tmp_path / "out" / "tiny16" / "tuning_report.json").read_text())
    tried = {options for trial in report["trials"] for options in trial["plan"].values()}
    assert "toy" in tried
    assert all("toy" in {variant["options"] for variant in layer["variants"]} for layer in report["layers"])
    page = (tmp_path / "out" / "tiny16" / "tuning_report.html").read_text()
    assert "--toy: #123456" in page
    assert "m-toy" in page


def test_a_name_is_taken_once(toy: Toy) -> None:
    with pytest.raises(ValueError, match="toy"):
        register(MethodRow(toy.name, toy))
    assert method_names()[-1] == "toy"
