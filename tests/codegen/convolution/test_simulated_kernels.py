"""Kernels on simulated processors: how near their inner loops come to the peak, which repeats exactly, and what
assembly gives beside the portable loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.core.options import ConvolutionOptions
from ellopt.targets import TARGETS
from ellopt.toolchains.zig import cpu_of
from tests.support.kernels import FloatArray
from tests.support.simulated import needs_qemu
from tests.support.simulated_kernels import Simulated, flops, simulate

pytestmark = needs_qemu


def site(
    target: str, rows: int, columns: int, channels: int, filters: int, field: int = 1, stride: int = 1,
    depthwise: bool = False,
) -> KernelSite:  # fmt: skip
    row = ((columns - 1) * stride + field) * channels
    return KernelSite(
        rows, columns, channels, filters, field, stride, depthwise, row, channels, columns * filters, filters, "relu",
        cpu=cpu_of(TARGETS[target]),
    )  # fmt: skip


def run(target: str, sites: Sequence[KernelSite]) -> list[Simulated]:
    return simulate(target, [(kernel_for(s, ConvolutionOptions("unrolled")), s) for s in sites])


@pytest.mark.parametrize(("target", "share"), [("pi3_64", 0.8), ("pi3", 0.85), ("pi0", 0.95)])
def test_the_ordered_loop_gives_what_the_portable_one_gives(target: str, share: float) -> None:
    """And takes less than a ``share`` of its cycles."""
    layers = ((4, 4, 1, 1), (5, 9, 3, 1), (6, 13, 1, 2), (7, 8, 2, 2), (8, 5, 3, 1), (13, 12, 1, 1))
    sites = [site(target, 3, columns, channels, 8, field, stride) for columns, channels, field, stride in layers]
    tile = {"pi0": "4x4"}.get(target, "")  # that of the ordered loop, for which weights are laid out
    kernels = [(s, ConvolutionOptions("unrolled", gemm_blocking=tile)) for s in sites]
    kernels += [
        (site(target, 3, 5, 18, 18, 3, stride, depthwise=True), ConvolutionOptions("unrolled")) for stride in (1, 2)
    ]
    squares = [site(target, size, size, channels, 24, 3) for size, channels in ((5, 13), (16, 8))]
    kernels += [(s, ConvolutionOptions("winograd", winograd_tile_size=2)) for s in squares]
    portable = [(replace(s, cpu=replace(s.cpu, in_order=False)), options) for s, options in kernels]
    found = simulate(target, [(kernel_for(s, options), s) for s, options in (*kernels, *portable)])
    for ours, theirs in zip(found[: len(kernels)], found[len(kernels) :], strict=True):
        np.testing.assert_allclose(ours.output, theirs.output, rtol=0, atol=1e-5, err_msg=str(ours.site))
    assert found[4].cycles < share * found[4 + len(kernels)].cycles


#: (pixels, filters) of a register tile -> FLOP a cycle that its inner loop reaches at least. The peaks are 8, but
#: pi5's 16 and pi0's 2.
_MARKS = {
    "pi3_64": {(8, 8): 6.2, (7, 8): 6.0, (6, 8): 5.9, (5, 8): 5.6, (4, 8): 5.2},
    "pi4_64": {(8, 12): 7.6},
    "pi5": {(8, 12): 15.4},
    "pi3": {(4, 8): 5.1, (3, 8): 3.8},
    "pi4": {(5, 8): 7.7},
    "pi0": {(4, 4): 1.55, (3, 4): 1.15},
}


@pytest.mark.parametrize("target", _MARKS)
def test_the_inner_loop_of_the_matrix_multiplication(target: str) -> None:
    """Channels beyond the first 64 count, so that what a tile takes before and after does not."""
    sites = [site(target, 1, pixels, channels, filters) for pixels, filters in _MARKS[target] for channels in (64, 192)]
    found = run(target, sites)
    for mark, short, long in zip(_MARKS[target].values(), found[::2], found[1::2], strict=True):
        flop_a_cycle = (flops(long.site) - flops(short.site)) / (long.cycles - short.cycles)
        assert flop_a_cycle >= mark, (target, long.site.out_columns)


#: (rows, columns, channels, filters, field, stride, depthwise) and options -> FLOP a cycle at least on A53, A72, A76,
#: of the definition's, so that winograd may exceed the peak. All is in the first two levels of cache, but the weights
#: of the last, which come from memory.
_LAYERS = {
    ((8, 8, 64, 64, 3, 1, True), "unrolled"): (2.85, 6.4, 11.4),
    ((8, 8, 64, 64, 3, 2, True), "unrolled"): (2.15, 5.3, 10.6),
    ((8, 8, 32, 32, 5, 1, True), "unrolled"): (3.75, 7.1, 13.9),
    ((8, 8, 32, 32, 5, 2, True), "unrolled"): (3.0, 7.2, 13.6),
    ((8, 8, 32, 32, 7, 1, True), "unrolled"): (4.2, 7.5, 14.7),
    ((8, 8, 32, 32, 7, 2, True), "unrolled"): (2.8, 7.0, 13.6),
    ((16, 16, 3, 16, 3, 2, False), "unrolled"): (4.55, 7.4, 14.1),
    ((8, 8, 32, 32, 3, 1, False), "unrolled"): (5.9, 7.7, 15.2),
    ((16, 16, 32, 32, 3, 1, False), "winograd t4"): (13.9, 23.2, 45.8),
    ((16, 16, 64, 64, 3, 1, False), "winograd t4"): (12.1, 26.7, 51.2),
    ((32, 32, 16, 16, 3, 1, False), "winograd t4"): (9.6, 18.7, 36.9),
    ((10, 10, 128, 128, 3, 1, False), "winograd t4"): (8.0, 17.9, 35.0),
    ((32, 32, 64, 64, 1, 1, False), "unrolled gstrassen"): (4.6, 8.2, 15.9),
    ((8, 8, 128, 256, 1, 1, False), "unrolled gstrassen2"): (4.1, 8.9, 16.3),
    ((8, 8, 128, 128, 3, 1, False), "winograd t42"): (9.0, 19.6, 42.5),
    ((16, 16, 32, 64, 3, 2, False), "winograd t4"): (5.4, 11.6, 22.7),
}


@pytest.mark.parametrize(("target", "mark"), [("pi4_64", 24.0), ("pi5", 48.0)])
def test_layers_whose_weights_are_derived(target: str, mark: float) -> None:
    """FLOP a cycle of the definition's, where weights come from memory."""
    layer = site(target, 8, 8, 128, 128, 3)
    (found,) = simulate(target, [(kernel_for(layer, ConvolutionOptions("winograd", winograd_tile_size=44)), layer)])
    assert found.flop_a_cycle >= mark


@pytest.mark.parametrize("number", range(3), ids=["pi3_64", "pi4_64", "pi5"])
def test_whole_layers(number: int) -> None:
    target = ("pi3_64", "pi4_64", "pi5")[number]
    sites = [site(target, *shape) for shape, _ in _LAYERS]
    texts = [text for _, text in _LAYERS]
    found = simulate(
        target, [(kernel_for(s, ConvolutionOptions.parse(t)), s) for s, t in zip(sites, texts, strict=True)]
    )
    for (layer, marks), result in zip(_LAYERS.items(), found, strict=True):
        assert result.flop_a_cycle >= marks[number], (target, layer)


#: The same of 32-bit code, on A53 and A72.
_LAYERS_32 = {
    ((8, 8, 64, 64, 3, 1, True), "unrolled"): (1.85, 6.0),
    ((8, 8, 64, 64, 3, 2, True), "unrolled"): (1.5, 5.35),
    ((8, 8, 32, 32, 5, 1, True), "unrolled"): (2.45, 7.1),
    ((8, 8, 32, 32, 7, 2, True), "unrolled"): (2.1, 7.0),
    ((16, 16, 3, 16, 3, 2, False), "unrolled"): (3.5, 5.9),
    ((8, 8, 32, 32, 3, 1, False), "unrolled"): (5.0, 7.8),
    ((16, 16, 32, 32, 3, 1, False), "winograd t4"): (8.5, 21.8),
    ((16, 16, 64, 64, 3, 1, False), "winograd t4"): (5.9, 26.0),
    ((32, 32, 64, 64, 1, 1, False), "unrolled"): (4.5, 7.5),
}


@pytest.mark.parametrize("number", range(2), ids=["pi3", "pi4"])
def test_whole_layers_of_32_bit_code(number: int) -> None:
    target = ("pi3", "pi4")[number]
    kernels = [(site(target, *shape), ConvolutionOptions.parse(text)) for shape, text in _LAYERS_32]
    found = simulate(target, [(kernel_for(s, options), s) for s, options in kernels])
    for (layer, marks), result in zip(_LAYERS_32.items(), found, strict=True):
        assert result.flop_a_cycle >= marks[number], (target, layer)


#: The same on an ARM1176, without vectors and with 16 KB of cache.
_LAYERS_PI0 = {
    ((16, 16, 3, 16, 3, 2, False), "unrolled"): 0.9,
    ((8, 8, 32, 32, 3, 1, False), "unrolled"): 1.0,
    ((32, 32, 64, 64, 1, 1, False), "unrolled"): 1.0,
    ((16, 16, 32, 32, 3, 1, False), "winograd t4"): 1.85,
    ((16, 16, 64, 64, 3, 1, False), "winograd t4"): 2.4,
    ((8, 8, 64, 64, 3, 1, True), "unrolled"): 0.45,
}


def test_whole_layers_without_vectors() -> None:
    kernels = [(site("pi0", *shape), ConvolutionOptions.parse(text)) for shape, text in _LAYERS_PI0]
    found = simulate("pi0", [(kernel_for(s, options), s) for s, options in kernels])
    for (layer, mark), result in zip(_LAYERS_PI0.items(), found, strict=True):
        assert result.flop_a_cycle >= mark, layer


@pytest.mark.parametrize("target", ["pi3_64", "pi3"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_layers_of_all_windows(target: str, stride: int) -> None:
    """Rows and columns that no tile divides, channels that no vector does."""
    sites = [site(target, 5, 7, 18, 18, field, stride, depthwise=True) for field in (2, 3, 5, 7, 8)]
    for found in run(target, sites):
        np.testing.assert_allclose(found.output, _depthwise(found.site), rtol=0, atol=1e-5, err_msg=str(found.site))


def _filled(count: int) -> FloatArray:
    """What simulated programs fill arrays with: as the C of simulated_kernels.py has it."""
    return (((np.arange(count, dtype=np.uint64) * 2654435761 >> 7) & 1023) / 1024 - 0.5).astype(np.float32)


def _depthwise(site: KernelSite) -> FloatArray:
    """The definition, of the inputs of a simulated program; weights are [vector][row][column][lane]."""
    size, lanes = site.field, site.cpu.lanes
    height, width = ((n - 1) * site.stride + size for n in (site.out_rows, site.out_columns))
    pixels = _filled(height * site.in_row_stride).reshape(height, width, site.channels)
    vectors = -(-site.channels // lanes)
    packed = _filled(vectors * lanes * size * size).reshape(vectors, size, size, lanes)
    weights = packed.transpose(1, 2, 0, 3).reshape(size, size, -1)[..., : site.channels]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(0, 1))[
        :: site.stride, :: site.stride
    ]
    sums = np.einsum("yxckl,klc->yxc", windows, weights) + _filled(site.channels)
    found: FloatArray = np.maximum(sums, 0).reshape(-1)
    return found
