"""``unrolled``: a matrix multiplication over register tiles; depthwise layers are tiled the same way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from ellopt.codegen.convolution.base import GeneratedMethod
from ellopt.codegen.convolution.gemm.half import half_depthwise_kernel, half_kernel
from ellopt.codegen.convolution.gemm.neighbours import NeighbourPacking, as_one, neighbours_of
from ellopt.codegen.convolution.gemm.strassen import STRASSEN_LEVELS, strassen_applies, strassen_kernel
from ellopt.codegen.convolution.gemm.tiles import GemmTiles, gemm_tiles
from ellopt.codegen.convolution.half import half_applies, half_applies_depthwise, half_rounding
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import DepthwisePacking, DotPacking, PanelPacking
from ellopt.codegen.convolution.tiling import pixel_tiles
from ellopt.core.methods import Choices, plain_weight_bytes
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import CPUS, Cpu

#: By levels: ten times what one level of Strassen's algorithm was seen to lose where filters and channels have about
#: one size; two levels lost 2.3 to 3 times as much as one.
_STRASSEN_ROUNDING = {1: 4.0, 2: 10.0}
#: Every blocking that exists, the default first; ``canonical`` says which are valid where.
GEMM_BLOCKINGS = tuple(
    dict.fromkeys(("", *STRASSEN_LEVELS, *(name for cpu in CPUS.values() for name in cpu.blockings)))
)


class Unrolled(GeneratedMethod):
    """Matrix multiplication. ``gemm_blocking`` names its register tile, or Strassen's algorithm."""

    name = "unrolled"
    colour = "#2b64ad"
    colour_on_dark = "#7fb0f2"

    def combinations(self, parallelize: bool, choices: Choices) -> Iterator[ConvolutionOptions]:
        for precision, blocking in product(choices.precisions, choices.blockings):
            yield ConvolutionOptions(self.name, parallelize, gemm_blocking=blocking, precision=precision)

    def applies(self, shape: ConvolutionShape) -> bool:
        return True

    def weight_bytes(self, shape: ConvolutionShape, options: ConvolutionOptions) -> int:
        plain = plain_weight_bytes(shape)
        if options.precision:
            return plain // 2
        levels = STRASSEN_LEVELS.get(options.gemm_blocking, 0)
        return plain * (1, 7, 49)[levels] // (1, 4, 16)[levels]

    def rounding(self, options: ConvolutionOptions, terms: int) -> float:
        if options.precision:
            return half_rounding(terms)
        return _STRASSEN_ROUNDING.get(STRASSEN_LEVELS.get(options.gemm_blocking, 0), 1.0)

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int
    ) -> ConvolutionOptions | None:
        if not options.gemm_blocking:
            return options
        if options.precision:
            return None
        if shape.depthwise:
            return None
        if levels := STRASSEN_LEVELS.get(options.gemm_blocking):
            return options if strassen_applies(shape, cpu.lanes, levels) else None
        if options.gemm_blocking not in cpu.blockings:
            return None
        # Blockings that cut this layer in the same way are one.
        same = _cut(shape, options.gemm_blocking, cpu)
        for name in ("", *cpu.blockings):
            if _cut(shape, name, cpu) == same:
                return replace(options, gemm_blocking=name)
        return options

    def halves(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        return half_applies_depthwise(shape) if shape.depthwise else half_applies(shape)

    def kernel(self, site: KernelSite, options: ConvolutionOptions) -> Kernel:
        if options.precision:
            return half_depthwise_kernel(site) if site.depthwise else half_kernel(site)
        if site.depthwise:
            pixels = pixel_tiles(site.out_rows, site.out_columns, *_depthwise_tile(site))
            return make_kernel(site, "conv_depthwise.h", DepthwisePacking(site.cpu.lanes), pixels.macros)
        if levels := STRASSEN_LEVELS.get(options.gemm_blocking):
            return strassen_kernel(site, levels)
        if not options.gemm_blocking and _few_filters(site):
            whole = site.in_pixel_stride == site.channels and site.column_dilation == 1
            return make_kernel(site, "conv_dot.h", DotPacking(site.cpu.lanes, whole))
        neighbours = 1 if options.gemm_blocking else neighbours_of(site)
        stride, site = site.strides[1], as_one(site, neighbours)
        row_bytes = 4 * site.in_row_stride * site.stride
        depth = site.field * (site.field_columns or site.field) * site.channels
        tiles = gemm_tiles(
            *(site.out_rows, site.out_columns, site.filters, row_bytes, site.cpu),
            blocking=options.gemm_blocking,
            depth=depth,
        )
        packing = PanelPacking(site.cpu.lanes, tiles.panels, tiles.wide_panels, tiles.tile_vectors, site.groups)
        macros = {
            **tiles.macros, "OWN_WEIGHT_BYTES": str(site.cpu.own_weight_bytes), "NEIGHBOURS": str(neighbours)
        }  # fmt: skip
        return make_kernel(site, "conv_unrolled.h", NeighbourPacking(packing, neighbours, stride), macros)


def _few_filters(site: KernelSite) -> bool:
    """Whether sums over the receptive field fill vectors better than filters do."""
    lanes, columns = site.cpu.lanes, site.field_columns or site.field
    depth = site.field * columns * site.channels
    whole = site.in_pixel_stride == site.channels and site.column_dilation == 1
    run = columns * site.channels if whole else site.channels
    return site.groups == 1 and lanes > 1 and 4 * site.filters <= lanes and run >= lanes and depth >= 4 * lanes


def _depthwise_tile(site: KernelSite) -> tuple[int, int]:
    small = max(site.field, site.field_columns) <= 3
    return site.cpu.depthwise_tiles[0 if small else 1]


def _cut(shape: ConvolutionShape, blocking: str, cpu: Cpu) -> GemmTiles:
    filters = shape.filters // shape.groups
    return gemm_tiles(shape.output_rows, shape.output_columns, filters, 0, cpu, blocking=blocking)


UNROLLED = Unrolled()
