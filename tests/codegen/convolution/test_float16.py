"""Kernels in float16: what they compute, how far off they are, and how fast on a simulated processor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.convolution.half import HALF_TERMS, half_rounding
from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.core.methods import find_method
from ellopt.core.options import FLOAT16, ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.model.rounding import DEVIATIONS
from ellopt.targets import CPUS, TARGETS
from tests.support.emulated_kernels import emulate, written
from tests.support.kernels import ConvolutionCase, draw_case, reference
from tests.support.simulated import needs_qemu
from tests.support.simulated_kernels import simulate

PI5 = TARGETS["pi5"]
CPU = CPUS["cortex-a76"]
HALF = ConvolutionOptions("unrolled", precision=FLOAT16)
_UNIT = 2.0**-11


def site(
    rows: int, columns: int, channels: int, filters: int, field: tuple[int, int] = (1, 1),
    strides: tuple[int, int] = (1, 1),
    gap: int = 0, residual: bool = False, activation: str = "relu", depthwise: bool = False, dilation: int = 1,
    residual_last: bool = False,
) -> KernelSite:  # fmt: skip
    pixel, out_pixel = channels + gap, filters + gap
    width = (columns - 1) * strides[1] + (field[1] - 1) * dilation + 1
    return KernelSite(
        rows, columns, channels, filters, field[0], strides[0], depthwise, width * pixel + gap, pixel,
        columns * out_pixel + gap, out_pixel, activation, residual=residual, residual_row_stride=columns * out_pixel,
        residual_pixel_stride=out_pixel, cpu=CPU, cores=3, field_columns=field[1], column_stride=strides[1],
        row_dilation=dilation, column_dilation=dilation, residual_last=residual_last,
    )  # fmt: skip


#: Filters that fill vectors and that leave tails of every kind, windows of one cell with and without strides, tall and
#: wide ones, sums in one piece, in rows and in parts of a row, with gaps and residuals.
SITES = [
    site(1, 1, 1, 1),
    site(8, 8, 64, 64),
    site(5, 7, 20, 21, strides=(2, 3), gap=3),
    site(3, 5, 7, 9, strides=(1, 2), residual=True, residual_last=True),
    site(7, 13, 16, 24, (3, 3), residual=True, activation="none"),
    site(6, 6, 5, 12, (3, 3), (2, 2), gap=1),
    site(4, 9, 48, 36, (3, 3), activation="tanh"),
    site(4, 4, 130, 17, (3, 3), (1, 1), gap=5, residual=True),
    site(3, 8, 12, 8, (1, 5), activation="none"),
    site(9, 2, 12, 30, (7, 1), (2, 1)),
    site(2, 3, 500, 4, activation="none"),
]
#: Depthwise: windows that are kept in registers, with tails of channels, and those that are not.
DEPTHWISE = [
    site(1, 1, 1, 1, (3, 3), depthwise=True),
    site(8, 8, 64, 64, (3, 3), activation="none", depthwise=True),
    site(5, 7, 21, 21, (3, 3), (2, 2), gap=3, depthwise=True),
    site(3, 9, 9, 9, (3, 1), (1, 2), residual=True, depthwise=True),
    site(7, 5, 12, 12, (5, 5), activation="tanh", depthwise=True),
    site(6, 4, 8, 8, (3, 3), dilation=2, residual=True, depthwise=True),
]
#: Whether input, output and residual are float16.
TENSORS = [(True, True, True), (True, False, False), (False, True, True), (True, True, False), (False, False, True)]


@needs_qemu
def test_they_compute_the_layer(tmp_path: Path) -> None:
    """Against the definition in double precision of rounded inputs and weights, whose products are exact there: what is
    off is the rounding of sums."""
    cases = [draw_case(each, seed) for seed, each in enumerate((*SITES, *DEPTHWISE))]
    cases = [replace(case, input=_rounded(case.input), weights=_rounded(case.weights)) for case in cases]
    found = emulate(PI5, [(kernel_for(case.site, HALF), case) for case in cases], tmp_path)
    for case, (alone, shared) in zip(cases, found, strict=True):
        np.testing.assert_array_equal(alone, shared, err_msg=str(case.site))  # NaN where nothing was written, too
        assert np.isfinite(alone).sum() == case.site.out_rows * case.site.out_columns * case.site.filters
        terms = case.site.field * case.site.field_columns * (1 if case.site.depthwise else case.site.channels)
        units = 3.0 if case.site.depthwise else 1.5 + 0.3 * min(terms, HALF_TERMS) ** 0.5
        error = np.abs(written(alone, case) - reference(case))
        assert (error <= _UNIT * units * _magnitude(case) + 1e-6).all(), case.site


@needs_qemu
def test_float16_tensors_hold_what_float32_ones_do(tmp_path: Path) -> None:
    """An output of float16 is that of float32, rounded, up to what follows the sums in float16; inputs and residuals of
    float16 give what the same values in float32 give. (Winograd transforms an input of float16 in it: each is off by
    half of what checks allow, at most.)"""
    layers = [(HALF, each) for each in (*SITES, *DEPTHWISE)]
    layers += [(options, each) for options in WINOGRAD[:3] for each in WINOGRAD_SITES]
    cases, halves = [], []
    for seed, (options, each) in enumerate(layers):
        drawn = draw_case(each, seed)
        residual = None if drawn.residual is None else _rounded(drawn.residual)
        case = replace(drawn, input=_rounded(drawn.input), weights=_rounded(drawn.weights), residual=residual)
        for tensors in ((False, False, False), TENSORS[seed % len(TENSORS)], TENSORS[(seed + 2) % len(TENSORS)]):
            cases.append((kernel_for(each, options), case))
            halves.append((tensors[0], tensors[1], tensors[2] and residual is not None))
    found = emulate(PI5, cases, tmp_path, halves)
    for i in range(0, len(cases), 3):
        (options, each), case = layers[i // 3], cases[i][1]
        plain = written(found[i][0], case)
        magnitude = _magnitude(case) if case.residual is None else _magnitude(case) + np.abs(case.residual)
        for (alone, shared), tensors in zip(found[i + 1 : i + 3], halves[i + 1 : i + 3], strict=True):
            np.testing.assert_array_equal(alone, shared, err_msg=str(each))
            assert np.isfinite(alone).sum() == each.out_rows * each.out_columns * each.filters
            limit = _UNIT * 2.0 * tensors[1] * magnitude + 1e-6
            if options.method == "winograd" and tensors[0]:
                limit = limit + _allowed(options, case)
            assert (np.abs(written(alone, case) - plain) <= limit).all(), (options, each, tensors)


#: Winograd's layers: tiles at edges, tails of filters and channels, gaps, lines; several panels and blocks.
WINOGRAD_SITES = [
    site(7, 13, 16, 24, (3, 3), residual=True, activation="none"),
    site(4, 9, 45, 21, (3, 3), gap=3),
    site(9, 9, 8, 16, (3, 3)),
    site(13, 8, 70, 100, (3, 3)),
    site(5, 9, 300, 8, (3, 3)),  # more than one sum for each product
    site(9, 8, 40, 17, (1, 3), residual=True, residual_last=True),
    site(9, 8, 40, 16, (3, 1), gap=1),
]
WINOGRAD = [
    ConvolutionOptions("winograd", winograd_tile_size=tile, nonseparable_channel_depth=depth, precision=FLOAT16)
    for tile, depth in ((2, 0), (3, 0), (4, 0), (4, 1))
]


@needs_qemu
def test_winograd_computes_the_layer(tmp_path: Path) -> None:
    """Within half of what checks on devices allow."""
    cases = [(options, draw_case(each, seed)) for options in WINOGRAD for seed, each in enumerate(WINOGRAD_SITES)]
    found = emulate(PI5, [(kernel_for(case.site, options), case) for options, case in cases], tmp_path)
    for (options, case), (alone, shared) in zip(cases, found, strict=True):
        np.testing.assert_array_equal(alone, shared, err_msg=str(case.site))
        assert np.isfinite(alone).sum() == case.site.out_rows * case.site.out_columns * case.site.filters
        error = np.abs(written(alone, case) - reference(case)).max(axis=(0, 1))
        assert (error <= 0.5 * _allowed(options, case)).all(), (options, case.site)


def _allowed(options: ConvolutionOptions, case: ConvolutionCase) -> np.ndarray:
    """How far off checks on devices let winograd's outputs of each filter be."""
    terms = case.site.channels * case.site.field * case.site.field_columns
    units = min(terms, DEVIATIONS * terms**0.5)
    limit = find_method("winograd").rounding(options, terms) * 2.0**-24 * units * _magnitude(case)
    return np.asarray(limit.max(axis=(0, 1)))


@needs_qemu
def test_long_sums_lose_no_more_than_short_ones(tmp_path: Path) -> None:
    """Sums of thousands of positive terms: in float16 alone they would stop growing."""
    each = site(2, 2, 4000, 8, activation="none")
    drawn = draw_case(each)
    case = replace(drawn, input=_rounded(np.abs(drawn.input)), weights=_rounded(np.abs(drawn.weights)))
    [(found, _)] = emulate(PI5, [(kernel_for(each, HALF), case)], tmp_path)
    np.testing.assert_allclose(written(found, case), reference(case), rtol=5e-3)


def _rounded(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def _magnitude(case: ConvolutionCase) -> np.ndarray:
    """The sum of the products' sizes."""
    plain = replace(case.site, activation="none", residual=False)
    sizes = {"input": np.abs(case.input), "weights": np.abs(case.weights), "bias": np.abs(case.bias)}
    return reference(replace(case, site=plain, residual=None, **sizes))


@needs_qemu
def test_they_are_faster_than_float32() -> None:
    """Operations a cycle of the definition, of which 16 are the peak in float32 and 32 in float16; input and output are
    float32."""
    layers = [site(8, 8, 128, 128), site(16, 16, 32, 32, (3, 3)), site(8, 8, 64, 64, (3, 3))]
    kernels = [(HALF, each) for each in layers]
    kernels += [(WINOGRAD[2], site(16, 16, 64, 64, (3, 3))), (WINOGRAD[0], site(8, 8, 128, 128, (3, 3)))]
    found = simulate("pi5", [(kernel_for(each, options), each) for options, each in kernels])
    for mark, one in zip((24.5, 26.5, 28.0, 70.0, 55.0), found, strict=True):
        assert one.flop_a_cycle >= mark, one.site


@pytest.mark.parametrize("cpu", [cpu for cpu in CPUS.values() if not cpu.half_lanes], ids=lambda cpu: cpu.name)
def test_processors_without_the_arithmetic_have_none(cpu: object) -> None:
    shape = ConvolutionShape(8, 8, 64, 64, 3, 1, 1, False, 8, 8)
    assert canonical(shape, HALF, cpu, 1) is None  # type: ignore[arg-type]
    assert canonical(shape, HALF, CPU, 1) == HALF


@pytest.mark.parametrize(
    "shape",
    [
        ConvolutionShape(20, 20, 64, 64, 17, 1, 1, True, 4, 4),
        ConvolutionShape(8, 8, 64, 64, 3, 1, 1, False, 8, 8, groups=2),
        ConvolutionShape(8, 8, 64, 64, 3, 1, 1, False, 8, 8, row_dilation=2),
    ],
    ids=["depthwise with too many terms", "groups", "dilated"],
)
def test_layers_without_a_kernel_have_none(shape: ConvolutionShape) -> None:
    assert canonical(shape, HALF, CPU, 1) is None


@pytest.mark.parametrize(("channels", "tiles"), [(64, [2, 3, 4]), (8, [2, 3, 4]), (3, [])])
def test_tiles_and_few_channels_that_lose_too_much_have_none(channels: int, tiles: list[int]) -> None:
    shape = ConvolutionShape(8, 8, channels, 64, 3, 1, 1, False, 8, 8)
    found = {
        tile: canonical(shape, ConvolutionOptions("winograd", winograd_tile_size=tile, precision=FLOAT16), CPU, 1)
        for tile in (2, 3, 4, 5, 6)
    }
    assert [tile for tile, options in found.items() if options] == tiles


@pytest.mark.parametrize("terms", [1, 9, 64, 576, 4608])
def test_what_it_may_be_off_grows_no_further_than_its_sums_in_float16(terms: int) -> None:
    allowed = half_rounding(terms) * 2.0**-24 * min(terms, DEVIATIONS * terms**0.5)
    assert 3 * _UNIT <= allowed <= (3 + HALF_TERMS**0.5) * _UNIT * 1.0001
