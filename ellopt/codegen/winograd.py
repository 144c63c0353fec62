"""Winograd's minimal filtering: kernels, packed weights, and what a search may vary (see winograd_matrices.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ellopt.codegen.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.packing import FloatArray
from ellopt.codegen.winograd_blocking import CHANNEL_UNIT, blocking
from ellopt.codegen.winograd_matrices import TILE_SIZES, WEIGHT_TRANSFORMS, Matrix
from ellopt.errors import ConfigurationError
from ellopt.options import ConvolutionOptions
from ellopt.shapes import ConvolutionShape
from ellopt.targets import Cpu


def transform_weights(weights: FloatArray, tile: int) -> Matrix:
    """G g G^T of ``weights`` [filter, 3, 3, channel], as [position, channel, filter] in double precision."""
    g = WEIGHT_TRANSFORMS[tile]
    filters, _, _, channels = weights.shape
    columns = weights.astype(np.float64).transpose(1, 2, 3, 0).reshape(9, -1)
    transformed: Matrix = np.kron(g, g) @ columns  # one product is much faster than one for each filter
    return transformed.reshape(-1, channels, filters)


@dataclass(frozen=True)
class WinogradPacking:
    """[panel][position][channel][filter of the panel]: what conv_winograd.h reads.

    Filters are filled up with zeros to whole vectors; the first ``wide_panels`` panels have ``vectors`` vectors,
    the others one less.
    """

    tile: int
    vector_width: int
    panels: int
    wide_panels: int
    vectors: int

    def pack(self, weights: FloatArray) -> FloatArray:
        filters = weights.shape[0]
        positions = transform_weights(weights, self.tile)
        missing = -filters % self.vector_width
        columns = np.pad(positions.astype(np.float32), ((0, 0), (0, 0), (0, missing)))
        widths = [self.vectors - (panel >= self.wide_panels) for panel in range(self.panels)]
        ends = np.cumsum(widths)[:-1] * self.vector_width
        return np.concatenate([panel.reshape(-1) for panel in np.split(columns, ends, axis=2)])


@dataclass(frozen=True)
class DepthwiseWinogradPacking:
    """[vector of channels][position][lane], filled up with zeros: what conv_winograd_depthwise.h reads."""

    tile: int
    vector_width: int

    def pack(self, weights: FloatArray) -> FloatArray:
        channels = weights.shape[0]
        positions = transform_weights(weights, self.tile)[:, 0, :].astype(np.float32)
        lanes = np.pad(positions, ((0, 0), (0, -channels % self.vector_width)))
        return np.ascontiguousarray(lanes.reshape(len(lanes), -1, self.vector_width).transpose(1, 0, 2)).reshape(-1)


def winograd_kernel(site: KernelSite, options: ConvolutionOptions) -> Kernel:
    """The kernel that computes ``site`` by ``options``, which are canonical.

    Raises ConfigurationError if the layer is not 3x3 with stride 1 or the tile size is not 2, 4 or 6.
    """
    tile = options.winograd_tile_size
    if site.field != 3 or site.stride != 1:
        raise ConfigurationError(
            f"winograd needs a 3x3 receptive field and stride 1, not {site.field}x{site.field} and {site.stride}"
        )
    if tile not in TILE_SIZES:
        raise ConfigurationError(f"winograd_tile_size {tile}: use one of {', '.join(map(str, TILE_SIZES))}")
    macros = {"WINOGRAD_TILE": str(tile)}
    if site.depthwise:
        lanes = DepthwiseWinogradPacking(tile, site.cpu.lanes)
        return make_kernel(site, "conv_winograd_depthwise.h", lanes, macros, options.depths)
    cut = blocking(
        site.out_rows,
        site.out_columns,
        site.channels,
        site.filters,
        tile,
        site.cpu,
        site.cores,
    )
    return make_kernel(
        site,
        "conv_winograd.h",
        WinogradPacking(tile, site.cpu.lanes, cut.tiles.panels, cut.tiles.wide_panels, cut.tiles.vectors),
        {**macros, **cut.macros},
        options.depths,
        thread_floats=cut.workspace_floats(options.nonseparable_filter_block_depth),
    )


def canonical_winograd(
    shape: ConvolutionShape,
    options: ConvolutionOptions,
    cpu: Cpu,
    cores: int,
) -> ConvolutionOptions | None:
    """The representative of the winograd options that behave alike on ``shape``; None if they are not valid there.

    Depths that mean nothing on the layer are 0; depths that reach beyond the layer are cut down to it; depths that
    are what the kernel itself would choose are 0.
    """
    tile = options.winograd_tile_size
    if not shape.winograd_applies or tile not in TILE_SIZES or options.gemm_blocking:
        return None
    separable, filters, channels = options.depths
    if shape.depthwise:
        vectors = -(-shape.channels // cpu.lanes)
        return replace(
            options,
            separable_block_depth=0 if separable >= vectors else separable,
            nonseparable_filter_block_depth=0,
            nonseparable_channel_depth=0,
        )
    cut = blocking(
        shape.output_rows,
        shape.output_columns,
        shape.channels,
        shape.filters,
        tile,
        cpu,
        cores,
    )
    filters = min(filters, cut.panels)
    return replace(
        options,
        separable_block_depth=0,
        nonseparable_filter_block_depth=0 if filters == cut.group_panels else filters,
        nonseparable_channel_depth=0 if channels * CHANNEL_UNIT >= shape.channels else channels,
    )


def winograd_choices(
    shape: ConvolutionShape,
    cpu: Cpu,
    cores: int = 1,
    depths: tuple[int, ...] = (1, 2, 4, 6, 8, 16),
) -> tuple[ConvolutionOptions, ...]:
    """All distinct winograd options for ``shape``, not parallel: every tile size with the kernel's own depths first,
    then with each combination of ``depths`` that makes a difference. Empty where winograd does not apply."""
    found: dict[ConvolutionOptions, None] = {}
    for tile in TILE_SIZES:
        for separable in (0, *depths):
            for filters in (0, *depths):
                for channels in (0, *depths):
                    options = ConvolutionOptions("winograd", False, separable, filters, channels, tile)
                    representative = canonical_winograd(shape, options, cpu, cores)
                    if representative is not None:
                        found[representative] = None
    return tuple(found)
