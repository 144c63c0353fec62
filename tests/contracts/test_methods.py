"""What every convolution method does, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.core.methods import Choices, find_method, method_names, method_row
from ellopt.core.options import PRECISIONS, ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import CPUS, Cpu

CHOICES = Choices((0, 2), (2, 3, 4, 5, 6, 42, 44), ("", "strassen", "strassen2", "6x16"), PRECISIONS)
SHAPES = [
    ConvolutionShape(16, 16, 64, 96, 3, 1, 1, False, 16, 16),
    ConvolutionShape(16, 16, 64, 64, 3, 1, 1, True, 16, 16),
    ConvolutionShape(32, 32, 64, 96, 3, 2, 1, False, 16, 16),
    ConvolutionShape(16, 16, 64, 128, 1, 1, 0, False, 16, 16),
]


@pytest.fixture(params=method_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["cortex-a53", "cortex-a76", "x86-64-v3"])
def cpu(request: pytest.FixtureRequest) -> Cpu:
    return CPUS[request.param]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request: pytest.FixtureRequest) -> ConvolutionShape:
    assert isinstance(request.param, ConvolutionShape)
    return request.param


def variants(name: str, shape: ConvolutionShape, cpu: Cpu, cores: int) -> Iterator[ConvolutionOptions]:
    """The distinct options of a method on a layer."""
    found = (canonical(shape, o, cpu, cores) for o in find_method(name).combinations(cores > 1, CHOICES))
    yield from dict.fromkeys(best for best in found if best is not None)


def test_it_is_what_its_row_says(name: str) -> None:
    row = method_row(name)
    assert row is not None
    assert find_method(name).name == row.name == name
    for options in find_method(name).combinations(True, CHOICES):
        assert options.method == name
        assert ConvolutionOptions.parse(str(options)) == options
        assert row.tiled or not any(options.depths)


def test_canonical_options_stand_for_themselves(name: str, shape: ConvolutionShape, cpu: Cpu) -> None:
    applies = find_method(name).applies(shape)
    for cores in (1, 4):
        found = list(variants(name, shape, cpu, cores))
        assert bool(found) == applies
        assert [canonical(shape, options, cpu, cores) for options in found] == found


def test_weights_are_counted_as_kernels_read_them(name: str, shape: ConvolutionShape, cpu: Cpu) -> None:
    site = KernelSite(
        *(16, 16, shape.channels, shape.filters, shape.receptive_field, shape.stride, shape.depthwise),
        *(34 * 64, 64, 16 * shape.filters, shape.filters),
        cpu=cpu,
    )
    depth = 1 if shape.depthwise else shape.channels
    weights = np.ones((shape.filters, shape.receptive_field, shape.receptive_field, depth), np.float32)
    for options in variants(name, shape, cpu, 1):
        assert find_method(name).weight_bytes(shape, options) == kernel_for(site, options).pack(weights).nbytes, options
        assert find_method(name).rounding(options, shape.weights_per_filter) >= 1.0
