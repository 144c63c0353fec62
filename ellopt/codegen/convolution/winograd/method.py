"""``winograd``: minimal filtering of 3x3, 1x3 and 3x1 layers with stride 1, and 3x3 with stride 2 (see matrices.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from ellopt.codegen.convolution.base import GeneratedMethod
from ellopt.codegen.convolution.half import HALF_TERMS, HalfPacking, half_applies, half_cpu, half_rounding
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import Packing
from ellopt.codegen.convolution.winograd.blocking import CHANNEL_UNIT, blocking, derives, weight_positions
from ellopt.codegen.convolution.winograd.matrices import (
    DERIVED_TILE,
    STRIDED_TILES,
    TILE_SIZES,
    UNEQUAL_TILES,
)
from ellopt.codegen.convolution.winograd.packing import (
    DepthwiseWinogradPacking,
    DerivingWinogradPacking,
    WinogradPacking,
)
from ellopt.core.errors import ConfigurationError
from ellopt.core.methods import Choices, plain_weight_bytes
from ellopt.core.options import ELL_DEFAULT_DEPTHS, ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import Cpu

#: Receptive fields that it computes.
WINDOWS = ((3, 3), (1, 3), (3, 1))
#: By tile size, five times and more what was seen on layers of trained and of random networks.
_ROUNDING = {2: 2.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 32.0, 42: 16.0, DERIVED_TILE: 16.0}
#: The same of products in float16, and of how many at most the sum is float16, too: transformed values are large beside
#: what is left of them in the output. With larger tiles it is too much that is lost.
_HALF_ROUNDING = {2: 1.0, 3: 2.0, 4: 6.0}
_HALF_TERMS = {2: HALF_TERMS, 3: 64, 4: 64}
#: With fewer channels what the transforms round is more than what sums do, and their vectors are not filled.
_HALF_CHANNELS = 8
#: With at most as many channels, ELL goes filter by filter, and only there do its depths matter.
_ELL_FEW_CHANNELS = 4


class Winograd(GeneratedMethod):
    """Minimal filtering. A larger tile multiplies less, stores more weights and rounds more."""

    name = "winograd"
    colour = "#0d7a68"
    colour_on_dark = "#4fc9ae"

    def combinations(self, parallelize: bool, choices: Choices) -> Iterator[ConvolutionOptions]:
        depths = choices.depths
        for precision, tile in product(choices.precisions, choices.tile_sizes):
            for separable, filters, channels in product(depths, depths, depths):
                yield ConvolutionOptions(
                    self.name, parallelize, separable, filters, channels, tile, precision=precision
                )

    def applies(self, shape: ConvolutionShape) -> bool:
        """Whatever the padding: the cells of a border are input like any other."""
        dilated = shape.row_dilation != 1 or shape.column_dilation != 1
        return _moves(shape.window, shape.strides, shape.depthwise) and not dilated and shape.groups == 1

    def weight_bytes(self, shape: ConvolutionShape, options: ConvolutionOptions) -> int:
        taps = shape.window[0] * shape.window[1]
        whole = plain_weight_bytes(shape) * weight_positions(options.winograd_tile_size, shape.window) // taps
        return whole // 2 if options.precision else whole

    def rounding(self, options: ConvolutionOptions, terms: int) -> float:
        tile = options.winograd_tile_size
        return _HALF_ROUNDING[tile] * half_rounding(terms) if options.precision else _ROUNDING[tile]

    def halves(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        enough = shape.channels >= _HALF_CHANNELS
        return half_applies(shape) and shape.stride == 1 and enough and options.winograd_tile_size in _HALF_ROUNDING

    def ell_can(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        """ELL computes depthwise layers wrongly by winograd, and knows tiles of 2 of square windows only."""
        return options.winograd_tile_size == 2 and not shape.depthwise and shape.plain and shape.stride == 1

    def ell_canonical(self, shape: ConvolutionShape, options: ConvolutionOptions) -> ConvolutionOptions | None:
        """Depths matter where ELL goes filter by filter: the separable one for depthwise layers, the other two
        elsewhere."""
        if not (self.applies(shape) and shape.plain and shape.stride == 1) or options.winograd_tile_size != 2:
            return None
        separable, filters, channels = (getattr(options, name) or d for name, d in ELL_DEFAULT_DEPTHS.items())
        plain = ConvolutionOptions(self.name, options.parallelize)
        if shape.depthwise:
            return replace(plain, separable_block_depth=separable)
        if shape.channels > _ELL_FEW_CHANNELS:
            return plain
        return replace(plain, nonseparable_filter_block_depth=filters, nonseparable_channel_depth=channels)

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int
    ) -> ConvolutionOptions | None:
        """Depths that mean nothing on the layer are 0; depths that reach beyond the layer are cut down to it; depths
        that are what the kernel itself would choose are 0."""
        tile = options.winograd_tile_size
        if tile not in _tiles(shape.window, shape.stride, shape.depthwise) or options.gemm_blocking:
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
        size = (shape.output_rows, shape.output_columns)
        if tile == DERIVED_TILE and not derives(*size, cpu):
            return None
        cpu = half_cpu(cpu) if options.precision else cpu
        cut = blocking(*size, shape.channels, shape.filters, tile, cpu, cores, shape.window, shape.stride)
        filters = min(filters, cut.panels)
        return replace(
            options,
            separable_block_depth=0,
            nonseparable_filter_block_depth=0 if filters == cut.group_panels else filters,
            nonseparable_channel_depth=0 if channels * CHANNEL_UNIT >= shape.channels else channels,
        )

    def kernel(self, site: KernelSite, options: ConvolutionOptions) -> Kernel:
        """Raises ConfigurationError if the layer is not 3x3, 1x3 or 3x1 with stride 1, or 3x3 with stride 2, or there
        is no such tile size."""
        tile = options.winograd_tile_size
        window = (site.field, site.field_columns or site.field)
        if not _moves(window, site.strides, site.depthwise):
            raise ConfigurationError(
                "winograd needs a receptive field of 3x3, 1x3 or 3x1 and stride 1, or 3x3 and stride 2, "
                f"not {window[0]}x{window[1]} and {site.strides[0]}x{site.strides[1]}"
            )
        known = _tiles(window, site.stride, site.depthwise)
        if tile not in known:
            raise ConfigurationError(f"winograd_tile_size {tile}: use one of {', '.join(map(str, known))}")
        macros = {"WINOGRAD_TILE": str(tile)}
        lanes = site.cpu.lanes
        if site.depthwise:
            depthwise = DepthwiseWinogradPacking(tile, lanes)
            return make_kernel(site, "conv_winograd_depthwise.h", depthwise, macros, options.depths)
        size = (site.out_rows, site.out_columns)
        if tile == DERIVED_TILE and not derives(*size, site.cpu):
            where = "where tiles are a multiple of 4, on 64-bit ARM processors that execute out of order"
            raise ConfigurationError(f"winograd_tile_size {tile}: only {where}")
        cpu = half_cpu(site.cpu) if options.precision else site.cpu
        cut = blocking(*size, site.channels, site.filters, tile, cpu, site.cores, window, site.stride)
        first, tiles = cpu.winograd_position_first or tile == DERIVED_TILE, cut.tiles
        packing: Packing = (
            DerivingWinogradPacking(cpu.lanes)
            if tile == DERIVED_TILE
            else WinogradPacking(tile, cpu.lanes, tiles.panels, tiles.wide_panels, tiles.vectors, first, site.stride)
        )
        half = {"HALF_TERMS": str(_HALF_TERMS[tile])} if options.precision else {}
        return make_kernel(
            site,
            "conv_winograd_half.h" if options.precision else "conv_winograd.h",
            HalfPacking(packing) if options.precision else packing,
            {**macros, **cut.macros, **half, "POSITION_FIRST": str(int(first))},
            options.depths,
            shared_floats=cut.shared_floats,
            thread_floats=cut.workspace_floats(options.nonseparable_filter_block_depth),
        )


def _moves(window: tuple[int, int], strides: tuple[int, int], depthwise: bool) -> bool:
    """Whether it computes windows that move so."""
    return (window in WINDOWS and strides == (1, 1)) or (window == (3, 3) and strides == (2, 2) and not depthwise)


def _tiles(window: tuple[int, int], stride: int, depthwise: bool) -> tuple[int, ...]:
    """The tile sizes that there are."""
    if stride > 1:
        return STRIDED_TILES
    return (*TILE_SIZES, *UNEQUAL_TILES, DERIVED_TILE) if window == (3, 3) and not depthwise else TILE_SIZES


WINOGRAD = Winograd()
