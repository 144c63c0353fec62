"""Winograd kernels compute the convolution for every tile size, depth, vector width and thread count."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.convolution.kernel import ACTIVATIONS, Kernel, KernelSite
from ellopt.codegen.convolution.winograd.matrices import (
    DERIVED_TILE,
    STORED_TRANSFORM,
    STRIDED_TILES,
    TILE_SIZES,
    UNEQUAL_TILES,
    strided_transforms,
    transforms,
)
from ellopt.codegen.convolution.winograd.method import WINDOWS
from ellopt.core.errors import ConfigurationError
from ellopt.core.methods import find_method
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import CPUS
from tests.support.kernels import (
    CPU_BY_LANES,
    ConvolutionCase,
    assert_agrees,
    compile_kernels,
    draw_case,
    plain_site,
    reference,
    run_kernel,
)

AVX = CPUS["x86-64-v3"]
A72 = CPUS["cortex-a72"]
ANY_SIZE = st.tuples(st.integers(1, 15), st.integers(1, 15))
#: Rows and columns of 4, 8 or 16 tiles of 4 x 4.
DERIVED_SIZES = st.sampled_from(((8, 8), (5, 7), (13, 2), (3, 15), (8, 14), (15, 13)))
DEPTHS = (0, 1, 2, 4, 6, 8, 16)


@st.composite
def sites(
    draw: st.DrawFn,
    depthwise: bool,
    window: tuple[int, int],
    stride: int = 1,
    sizes: st.SearchStrategy[tuple[int, int]] = ANY_SIZE,
) -> KernelSite:
    rows, columns = draw(sizes)
    channels = draw(st.integers(1, 50))
    filters = channels if depthwise else draw(st.integers(1, 100))
    in_pixel = channels + draw(st.sampled_from((0, 0, 3)))
    out_pixel = filters + draw(st.sampled_from((0, 0, 5)))
    residual_pixel = filters + draw(st.sampled_from((0, 2)))
    return replace(
        plain_site(rows, columns, channels, filters, depthwise),
        field=window[0],
        field_columns=window[1],
        stride=stride,
        in_row_stride=((columns - 1) * stride + window[1]) * in_pixel + draw(st.integers(0, 7)),
        in_pixel_stride=in_pixel,
        out_row_stride=columns * out_pixel + draw(st.integers(0, 7)),
        out_pixel_stride=out_pixel,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        leaky_factor=0.125,
        cores=draw(st.integers(1, 4)),
        residual=draw(st.booleans()),
        residual_last=draw(st.booleans()),
        residual_row_stride=columns * residual_pixel + 1,
        residual_pixel_stride=residual_pixel,
    )


def check_kernels(kernels: list[Kernel], cases: list[ConvolutionCase], threads: int) -> None:
    """Each agrees with the definition, and does the same on several threads."""
    for compiled, case in zip(compile_kernels(kernels), cases, strict=True):
        alone = run_kernel(compiled, case)
        assert_agrees(alone, case, 1e-3)
        np.testing.assert_array_equal(run_kernel(compiled, case, threads), alone)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("depthwise", [False, True], ids=["full", "depthwise"])
@settings(max_examples=2, deadline=None)
@given(data=st.data())
def test_agrees_with_the_definition(depthwise: bool, window: tuple[int, int], data: st.DataObject) -> None:
    kernels, cases = [], []
    for i in range(2):
        case = draw_case(data.draw(sites(depthwise, window)), i)
        for cpu in CPU_BY_LANES.values():
            cpu = replace(cpu, winograd_position_first=data.draw(st.booleans()))
            site = replace(case.site, cpu=cpu)
            unequal = () if depthwise or window != (3, 3) else UNEQUAL_TILES
            tile = data.draw(st.sampled_from((*TILE_SIZES, *unequal, *unequal)))
            depths = [data.draw(st.sampled_from(DEPTHS)) for _ in range(3)]
            kernels.append(kernel_for(site, ConvolutionOptions("winograd", False, *depths, tile)))
            cases.append(replace(case, site=site))
    check_kernels(kernels, cases, data.draw(st.integers(2, 4)))


@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_agrees_with_the_definition_with_a_stride_of_2(data: st.DataObject) -> None:
    kernels, cases = [], []
    case = draw_case(data.draw(sites(False, (3, 3), 2)))
    for cpu in CPU_BY_LANES.values():
        cpu = replace(cpu, winograd_position_first=data.draw(st.booleans()))
        for tile in STRIDED_TILES:
            site = replace(case.site, cpu=cpu)
            depths = [data.draw(st.sampled_from(DEPTHS)) for _ in range(3)]
            kernels.append(kernel_for(site, ConvolutionOptions("winograd", False, *depths, tile)))
            cases.append(replace(case, site=site))
    check_kernels(kernels, cases, data.draw(st.integers(2, 4)))


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_agrees_with_the_definition_where_weights_are_derived(data: st.DataObject) -> None:
    case = draw_case(replace(data.draw(sites(False, (3, 3), sizes=DERIVED_SIZES)), cpu=A72))
    depths = [data.draw(st.sampled_from(DEPTHS)) for _ in range(3)]
    kernel = kernel_for(case.site, ConvolutionOptions("winograd", False, *depths, DERIVED_TILE))
    assert kernel.pack(case.weights).size == 24 * case.site.channels * -(-case.site.filters // 4) * 4
    check_kernels([kernel], [case], data.draw(st.integers(2, 4)))


def test_weights_that_are_derived_are_those_of_the_points() -> None:
    """Up to a scale, which the input is divided by."""
    zero, one, minus_one, infinity = STORED_TRANSFORM
    even, odd = zero + infinity, minus_one - one
    scales = (1.5, 1, 1, 0.25, 0.25, 1.5)
    derived = np.array([zero, one, minus_one, even + odd, even - odd, infinity])
    np.testing.assert_allclose(derived * np.array(scales)[:, None], transforms(4)[2], rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize("cores", [2, 4])
@pytest.mark.parametrize(("size", "channels", "meetings"), [(64, 16, 1), (32, 32, 1), (16, 64, 2), (8, 128, 2)])
def test_threads_meet_seldom(cores: int, size: int, channels: int, meetings: int) -> None:
    """A meeting takes some microseconds, and what one core has transformed the others must fetch: layers of a residual
    network take 40 microseconds each on two cores."""
    case = draw_case(replace(plain_site(size, size, channels, channels), cpu=AVX, cores=cores))
    for tile in (4, 6):
        kernel = kernel_for(case.site, ConvolutionOptions("winograd", True, winograd_tile_size=tile))
        (compiled,) = compile_kernels([kernel], pool=Path(__file__).parent / "counting_pool.c")
        counted = ctypes.c_int.in_dll(compiled.library, "meetings")
        counted.value = 0
        assert_agrees(run_kernel(compiled, case, cores), case, 1e-3)
        assert 1 <= counted.value <= meetings


def test_every_depth_is_served_by_one_compiled_kernel() -> None:
    case = draw_case(replace(plain_site(13, 9, 70, 90), cpu=AVX))
    for tile in (*TILE_SIZES, *UNEQUAL_TILES):
        kernels = [
            kernel_for(case.site, ConvolutionOptions("winograd", False, 0, filters, channels, tile))
            for filters in DEPTHS
            for channels in (0, 1, 2, 4)
        ]
        assert len({kernel.source("f") for kernel in kernels}) == 1
        assert len({kernel.pack(case.weights).tobytes() for kernel in kernels}) == 1
        (compiled,) = compile_kernels(kernels[:1])
        for kernel in kernels:
            for threads in (1, 3):
                assert_agrees(run_kernel(replace(compiled, kernel=kernel), case, threads), case, 1e-3)


@pytest.mark.parametrize(("tile", "stride"), [*((t, 1) for t in TILE_SIZES), *((t, 2) for t in STRIDED_TILES)])
def test_transforms_are_exact(tile: int, stride: int) -> None:
    random = np.random.default_rng(tile)

    def exact(matrix: np.ndarray) -> np.ndarray:
        return np.vectorize(lambda x: Fraction(float(x)).limit_denominator(1000), otypes=[object])(matrix)

    g, d = (exact(random.integers(-9, 10, size)) for size in (3, (tile - 1) * stride + 3))
    at, bt, gt = (exact(matrix) for matrix in (transforms(tile) if stride == 1 else strided_transforms(tile)))
    filtered = [sum(g[k] * d[stride * i + k] for k in range(3)) for i in range(tile)]
    assert list(at @ ((gt @ g) * (bt @ d))) == filtered


@pytest.mark.parametrize(
    ("tile", "stride", "bound"),
    [
        *((2, 1, 5e-6), (3, 1, 4e-5), (4, 1, 4e-5), (5, 1, 8e-5), (6, 1, 8e-5), (42, 1, 4e-5), (DERIVED_TILE, 1, 4e-5)),
        *((2, 2, 5e-6), (3, 2, 1e-5), (4, 2, 2e-5)),
    ],
)
def test_error_of_large_layers(tile: int, stride: int, bound: float) -> None:
    size, cpu = (14, A72) if tile == DERIVED_TILE else (12, AVX)
    case = draw_case(replace(strided_site(size, 512, 64, stride), cpu=cpu))
    (compiled,) = compile_kernels([kernel_for(case.site, ConvolutionOptions("winograd", winograd_tile_size=tile))])
    expected = reference(case)
    assert np.max(np.abs(run_kernel(compiled, case) - expected)) <= bound * np.max(np.abs(expected))


def strided_site(size: int, channels: int, filters: int, stride: int) -> KernelSite:
    row = ((size - 1) * stride + 3) * channels
    return replace(plain_site(size, size, channels, filters), stride=stride, in_row_stride=row)


def test_where_weights_are_derived() -> None:
    derived = ConvolutionOptions("winograd", winograd_tile_size=DERIVED_TILE)
    assert find_method("winograd").weight_bytes(SHAPE, derived) == 24 * 4 * SHAPE.channels * SHAPE.filters
    cases = {"cortex-a72": (8, 16), "cortex-a76": (8, 16), "cortex-a53": (), "cortex-a72-32": (), "x86-64-v4": ()}
    for name, rows in product(cases, (8, 12, 16)):
        valid = rows in cases[name]
        shape = replace(SHAPE, rows=rows, columns=rows, output_rows=rows, output_columns=rows)
        assert bool(canonical(shape, derived, CPUS[name], 1)) == valid, (name, rows)
        if not valid:
            with pytest.raises(ConfigurationError, match="multiple of 4, on 64-bit ARM"):
                kernel_for(replace(plain_site(rows, rows, 8, 8), cpu=CPUS[name]), derived)


SHAPE = ConvolutionShape(16, 16, 64, 96, 3, 1, 1, False, 16, 16)


def test_canonical_merges_what_behaves_alike() -> None:
    def representative(shape: ConvolutionShape, *depths: int, tile: int = 4) -> tuple[int, int, int]:
        options = canonical(shape, ConvolutionOptions("winograd", False, *depths, tile), AVX, 1)
        assert options is not None
        assert canonical(shape, options, AVX, 1) == options
        return options.depths

    assert representative(SHAPE, 8, 1, 1) == (0, 1, 1)
    assert representative(SHAPE, 0, 0, 4) == (0, 0, 0)
    assert representative(SHAPE, 0, 1, 16) == (0, 1, 0)
    assert representative(SHAPE, 0, 16, 1) == representative(SHAPE, 0, 8, 1)
    depthwise = replace(SHAPE, depthwise=True, filters=64)
    assert representative(depthwise, 4, 2, 2) == (4, 0, 0)
    assert representative(depthwise, 8, 2, 2) == (0, 0, 0)


def test_not_valid_elsewhere() -> None:
    winograd, winograd_method = ConvolutionOptions("winograd"), find_method("winograd")
    for other in (
        {"stride": 3},
        {"stride": 2, "receptive_field": 1, "field_columns": 3},
        {"stride": 2, "depthwise": True, "filters": 64},
        {"column_stride": 2},
        {"receptive_field": 5},
        {"field_columns": 5},
        {"receptive_field": 1},
        {"receptive_field": 1, "field_columns": 5},
        {"column_dilation": 2},
        {"groups": 2},
    ):
        shape = replace(SHAPE, **other)
        assert canonical(shape, winograd, AVX, 1) is None
    assert canonical(SHAPE, replace(winograd, winograd_tile_size=7), AVX, 1) is None
    for window in WINDOWS:
        line = replace(SHAPE, receptive_field=window[0], field_columns=window[1])
        assert canonical(line, winograd, AVX, 1) is not None
        assert winograd_method.weight_bytes(line, winograd) == (
            SHAPE.channels * SHAPE.filters * 4 * (16 if window == (3, 3) else 4)
        )
        assert winograd_method.ell_can(line, winograd) == (window == (3, 3))
    site = plain_site(4, 4, 4, 4)
    with pytest.raises(ConfigurationError, match="stride 1"):
        kernel_for(replace(site, stride=3), winograd)
    strided = replace(SHAPE, stride=2, output_rows=8, output_columns=8)
    assert not winograd_method.ell_can(strided, winograd)
    assert winograd_method.ell_canonical(strided, winograd) is None
    for tile in (*TILE_SIZES, *UNEQUAL_TILES):
        found = canonical(strided, replace(winograd, winograd_tile_size=tile), AVX, 1)
        assert bool(found) == (tile in STRIDED_TILES)
    with pytest.raises(ConfigurationError, match="winograd_tile_size 7"):
        kernel_for(site, replace(winograd, winograd_tile_size=7))
