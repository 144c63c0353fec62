"""simple, unrolled and depthwise kernels compute the convolution, and touch nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.convolution.gemm.strassen import (
    STRASSEN,
    STRASSEN_LEVELS,
    STRASSEN_TWICE,
    strassen_applies,
)
from ellopt.codegen.convolution.kernel import ACTIVATIONS, KernelSite
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import CPUS
from tests.support.kernels import (
    CODE_CPUS,
    CPU_BY_LANES,
    assert_agrees,
    compile_kernels,
    draw_case,
    reference,
    run_kernel,
)

NARROW = (CPUS["scalar"], CPUS["x86-64"])
WIDE = (CPUS["x86-64-v3"], CPUS["x86-64-v4"])


@st.composite
def sites(draw: st.DrawFn, depthwise: bool) -> KernelSite:
    field, stride = draw(st.integers(1, 8 if depthwise else 5)), draw(st.integers(1, 3))
    out_rows, out_columns = draw(st.integers(1, 9)), draw(st.integers(1, 30))
    channels = draw(st.integers(1, 70 if depthwise else 20))
    filters = channels if depthwise else draw(st.integers(1, 70))
    spread = _spread(draw, out_columns, (out_columns - 1) * stride + field, channels, filters)
    return KernelSite(
        out_rows, out_columns, channels, filters, field, stride, depthwise, **spread,
        activation=draw(st.sampled_from(ACTIVATIONS)), leaky_factor=0.125,
    )  # fmt: skip


def _spread(draw: st.DrawFn, out_columns: int, columns: int, channels: int, filters: int) -> dict[str, Any]:
    """Distances of pixels and rows in memory, with gaps or without; and perhaps a residual."""
    in_pixel = channels + draw(st.sampled_from((0, 0, 3)))
    out_pixel = filters + draw(st.sampled_from((0, 0, 5)))
    residual_pixel = filters + draw(st.sampled_from((0, 2)))
    return {
        "in_row_stride": columns * in_pixel + draw(st.integers(0, 7)),
        "in_pixel_stride": in_pixel,
        "out_row_stride": out_columns * out_pixel + draw(st.integers(0, 7)),
        "out_pixel_stride": out_pixel,
        "residual": draw(st.booleans()),
        "residual_last": draw(st.booleans()),
        "residual_row_stride": out_columns * residual_pixel + 1,
        "residual_pixel_stride": residual_pixel,
    }


@pytest.mark.parametrize("depthwise", [False, True], ids=["full", "depthwise"])
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_methods_agree_with_the_definition(depthwise: bool, data: st.DataObject) -> None:
    kernels, cases = [], []
    for i in range(4):
        site = data.draw(sites(depthwise))
        case = draw_case(site, i)
        narrow, wide = data.draw(st.sampled_from(NARROW)), data.draw(st.sampled_from(WIDE))
        for cpu, method in ((narrow, "simple"), (narrow, "unrolled"), (wide, "unrolled")):
            at_width = replace(site, cpu=cpu)
            kernels.append(kernel_for(at_width, ConvolutionOptions(method)))
            cases.append(replace(case, site=at_width))
    threads = data.draw(st.integers(1, 4))
    for compiled, case in zip(compile_kernels(kernels), cases, strict=True):
        assert_agrees(run_kernel(compiled, case), case)
        assert_agrees(run_kernel(compiled, case, threads), case)


def test_blockings_agree_with_the_definition() -> None:
    kernels, cases = [], []
    for cpu in CODE_CPUS:
        for blocking in cpu.blockings:
            site = KernelSite(*(7, 11, 5, 37, 3, 1, False, 13 * 5, 5, 11 * 37, 37), cpu=cpu)
            kernels.append(kernel_for(site, ConvolutionOptions("unrolled", gemm_blocking=blocking)))
            cases.append(draw_case(site))
    for compiled, case in zip(compile_kernels(kernels), cases, strict=True):
        assert_agrees(run_kernel(compiled, case, 2), case)


@st.composite
def few_filters(draw: st.DrawFn) -> KernelSite:
    """Sites whose filters do not fill a vector: runs with a rest, gaps between pixels, dilation, short rows."""
    cpu = draw(st.sampled_from([cpu for cpu in CODE_CPUS if cpu.lanes > 1]))
    filters = draw(st.integers(1, cpu.lanes // 4))
    field, field_columns = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    channels = draw(st.integers(cpu.lanes, 3 * cpu.lanes))
    stride, column_stride, dilation = (draw(st.integers(1, 2)) for _ in range(3))
    out_rows, out_columns = draw(st.integers(1, 3)), draw(st.integers(1, 21))
    in_pixel = channels + draw(st.sampled_from((0, 0, 3)))
    columns = (out_columns - 1) * column_stride + (field_columns - 1) * dilation + 1
    return KernelSite(
        *(out_rows, out_columns, channels, filters, field, stride, False, columns * in_pixel, in_pixel),
        out_row_stride=out_columns * filters,
        out_pixel_stride=filters,
        activation=draw(st.sampled_from(("none", "sigmoid"))),
        residual=draw(st.booleans()),
        residual_last=draw(st.booleans()),
        residual_row_stride=out_columns * filters,
        residual_pixel_stride=filters,
        cpu=cpu,
        field_columns=field_columns,
        column_stride=column_stride,
        column_dilation=dilation,
    )


@settings(max_examples=3, deadline=None)
@given(drawn=st.lists(few_filters(), min_size=6, max_size=6), threads=st.integers(2, 4))
def test_few_filters_agree_with_the_definition(drawn: list[KernelSite], threads: int) -> None:
    kernels = [kernel_for(site, ConvolutionOptions("unrolled")) for site in drawn]
    for i, (compiled, site) in enumerate(zip(compile_kernels(kernels), drawn, strict=True)):
        case = draw_case(site, i)
        assert_agrees(run_kernel(compiled, case), case)
        assert_agrees(run_kernel(compiled, case, threads), case)


@st.composite
def strassen_sites(draw: st.DrawFn, levels: int) -> KernelSite:
    cpu, parts = draw(st.sampled_from(CODE_CPUS)), 2**levels
    width = cpu.lanes
    field, stride = draw(st.sampled_from(((1, 1), (3, 1), (3, 2), (2, 2), (5, 3))))
    out_rows, out_columns = draw(st.integers(1, 20)), parts * draw(st.integers(1, 20 // levels))
    channels = parts * width * draw(st.integers(1, 2 if width > 1 else 9))
    filters = max(8 * parts, parts * width * draw(st.integers(1, 3 if width > 1 else 20)))
    spread = _spread(draw, out_columns, (out_columns - 1) * stride + field, channels, filters)
    return KernelSite(
        out_rows, out_columns, channels, filters, field, stride, False, **spread,
        activation=draw(st.sampled_from(("none", "relu"))), cpu=cpu,
    )  # fmt: skip


@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_strassen_agrees_with_the_definition(data: st.DataObject) -> None:
    names = (STRASSEN, STRASSEN_TWICE) * 2
    drawn = [data.draw(strassen_sites(STRASSEN_LEVELS[name])) for name in names]
    kernels = [
        kernel_for(site, ConvolutionOptions("unrolled", gemm_blocking=name))
        for site, name in zip(drawn, names, strict=True)
    ]
    threads = data.draw(st.integers(2, 4))
    for i, (compiled, site) in enumerate(zip(compile_kernels(kernels), drawn, strict=True)):
        case = draw_case(site, i)
        assert_agrees(run_kernel(compiled, case), case)
        assert_agrees(run_kernel(compiled, case, threads), case)


def test_strassen_shares_its_sums_where_weights_are_large() -> None:
    large = {(STRASSEN, 64): False, (STRASSEN, 320): True, (STRASSEN_TWICE, 32): False, (STRASSEN_TWICE, 320): True}
    sites = [
        KernelSite(
            *(24 // levels**2, 16, 128, filters, 3, 1, False, 18 * 128, 128, 16 * filters, filters),
            cpu=CPUS["x86-64-v3"], cores=2,
        )
        for levels, filters in ((STRASSEN_LEVELS[name], filters) for name, filters in large)
    ]  # fmt: skip
    kernels = [
        kernel_for(site, ConvolutionOptions("unrolled", gemm_blocking=name))
        for site, (name, _) in zip(sites, large, strict=True)
    ]
    assert [kernel.shared_floats > 0 for kernel in kernels] == list(large.values())
    for compiled, site in zip(compile_kernels(kernels), sites, strict=True):
        case = draw_case(site)
        assert_agrees(run_kernel(compiled, case, 3), case)


def test_two_levels_are_offered_where_sizes_can_be_halved_twice_and_products_are_long() -> None:
    shape = ConvolutionShape(8, 8, 128, 128, 1, 1, 0, False, 8, 8)
    assert strassen_applies(shape, 4, 2)
    for change in ({"channels": 64}, {"filters": 16}, {"output_columns": 6}, {"filters": 132}):
        assert not strassen_applies(replace(shape, **change), 4, 2), change


@pytest.mark.parametrize("depthwise", [False, True], ids=["full", "depthwise"])
def test_every_activation_of_nan_is_nan_in_scalar_and_vector_code(depthwise: bool) -> None:
    kernels, cases = [], []
    for activation in ACTIVATIONS:
        filters = 21
        site = KernelSite(
            *(5, 6, filters, filters, 3, 1, depthwise, 8 * filters, filters, 6 * filters, filters, activation), 0.125
        )
        case = draw_case(site)
        case.input[0, 0], case.input[4, 6, 3] = np.nan, np.nan
        for lanes, method in ((1, "unrolled"), (4, "unrolled"), (8, "unrolled"), (16, "unrolled"), (8, "simple")):
            there = replace(site, cpu=CPU_BY_LANES[lanes])
            kernels.append(kernel_for(there, ConvolutionOptions(method)))
            cases.append(replace(case, site=there))
    for compiled, case in zip(compile_kernels(kernels), cases, strict=True):
        found, wanted = run_kernel(compiled, case), reference(case)
        assert 0 < np.isnan(wanted).sum() < wanted.size
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4, equal_nan=True)


@st.composite
def wide_windows(draw: st.DrawFn) -> KernelSite:
    """Sites with less than a vector of filters, or one, and windows that are wide for their strides."""
    cpu = draw(st.sampled_from([cpu for cpu in CODE_CPUS if cpu.lanes > 1]))
    filters = draw(st.integers(cpu.lanes // 4 + 1, cpu.lanes))
    field, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    column_stride = draw(st.integers(1, 3))
    field_columns = 6 * column_stride + draw(st.integers(0, 5))
    channels = draw(st.integers(1, 9))
    out_rows, out_columns = draw(st.integers(1, 4)), 2 * draw(st.integers(1, 12))
    in_pixel = channels + draw(st.sampled_from((0, 0, 3)))
    columns = (out_columns - 1) * column_stride + field_columns
    return KernelSite(
        *(out_rows, out_columns, channels, filters, field, stride, False, columns * in_pixel, in_pixel),
        out_row_stride=out_columns * filters + draw(st.integers(0, 7)),
        out_pixel_stride=filters,
        activation=draw(st.sampled_from(("none", "sigmoid"))),
        residual=draw(st.booleans()),
        residual_last=draw(st.booleans()),
        residual_row_stride=out_columns * filters + 1,
        residual_pixel_stride=filters,
        cpu=cpu,
        field_columns=field_columns,
        column_stride=column_stride,
    )


@settings(max_examples=4, deadline=None)
@given(drawn=st.lists(wide_windows(), min_size=4, max_size=4), threads=st.integers(1, 3))
def test_neighbours_of_wide_windows_are_computed_together(drawn: list[KernelSite], threads: int) -> None:
    cases = [draw_case(site, i) for i, site in enumerate(drawn)]
    kernels = [kernel_for(site, ConvolutionOptions("unrolled")) for site in drawn]
    together = [dict(kernel.macros)["NEIGHBOURS"] for kernel in kernels]
    assert set(together) <= {"2", "4"}
    for compiled, case in zip(compile_kernels(kernels), cases, strict=True):
        assert_agrees(run_kernel(compiled, case, threads), case)


def test_neighbours_are_computed_one_by_one_where_that_is_no_slower_or_they_lie_apart() -> None:
    wide = KernelSite(*(4, 8, 8, 8, 3, 1, False, 46 * 8, 8), out_row_stride=64, out_pixel_stride=8, field_columns=39)
    wide = replace(wide, cpu=CPUS["x86-64-v3"])
    for changed, count in (
        ({}, "2"),
        ({"out_pixel_stride": 24}, "1"),  # a part of a concatenation along channels
        ({"residual": True, "residual_pixel_stride": 9}, "1"),
        ({"out_columns": 7}, "1"),
        ({"column_dilation": 2}, "1"),
        ({"groups": 2}, "1"),
        ({"filters": 16, "out_pixel_stride": 16}, "1"),
        ({"field_columns": 3}, "1"),
        ({"column_stride": 30}, "1"),
    ):
        kernel = kernel_for(replace(wide, **changed), ConvolutionOptions("unrolled"))
        assert dict(kernel.macros)["NEIGHBOURS"] == count, changed
