"""From a convolution layer and its options to a kernel: which C template, with which macros, fed with what."""

from __future__ import annotations

from dataclasses import replace

from ellopt.codegen.gemm_tiling import GemmTiles, gemm_tiles, pixel_tiles
from ellopt.codegen.kernel import ACTIVATIONS, Kernel, KernelSite, make_kernel
from ellopt.codegen.packing import DepthwisePacking, DirectPacking, PanelPacking
from ellopt.codegen.strassen import STRASSEN, strassen_applies, strassen_kernel
from ellopt.codegen.winograd import canonical_winograd, winograd_kernel
from ellopt.options import ConvolutionOptions
from ellopt.shapes import ConvolutionShape

__all__ = [
    "ACTIVATIONS",
    "GEMM_BLOCKINGS",
    "Kernel",
    "KernelSite",
    "canonical",
    "gemm_blockings",
    "kernel_for",
    "make_kernel",
]

#: Rows and columns of a depthwise layer's register tile: its sums, one input and one weight fit in 16 registers.
_DEPTHWISE_TILE = (2, 4)


def kernel_for(site: KernelSite, options: ConvolutionOptions) -> Kernel:
    """The kernel that computes ``site`` by ``options``, which are canonical."""
    if options.method == "winograd":
        return winograd_kernel(site, options)
    if options.method == "simple":
        return make_kernel(site, "conv_simple.h", DirectPacking())
    if site.depthwise:
        pixels = pixel_tiles(site.out_rows, site.out_columns, *_DEPTHWISE_TILE)
        return make_kernel(site, "conv_depthwise.h", DepthwisePacking(site.vector_width), pixels.macros)
    if options.gemm_blocking == STRASSEN:
        return strassen_kernel(site)
    row_bytes = 4 * site.in_row_stride * site.stride
    tiles = gemm_tiles(
        site.out_rows,
        site.out_columns,
        site.filters,
        row_bytes,
        site.vector_width,
        site.vector_registers,
        options.gemm_blocking,
    )
    packing = PanelPacking(site.vector_width, tiles.panels, tiles.wide_panels, tiles.tile_vectors)
    macros = {**tiles.macros, "OWN_WEIGHT_BYTES": str(site.own_weight_bytes)}
    return make_kernel(site, "conv_unrolled.h", packing, macros)


def canonical(
    shape: ConvolutionShape, options: ConvolutionOptions, vector_width: int, cores: int, vector_registers: int = 0
) -> ConvolutionOptions | None:
    """The representative of all options that give the same code and behaviour; None if not valid for ``shape``."""
    if cores <= 1 and options.parallelize:
        options = replace(options, parallelize=False)
    if options.method == "winograd":
        return canonical_winograd(shape, options, vector_width, cores, vector_registers)
    if not options.gemm_blocking:
        return options
    if options.method != "unrolled" or shape.depthwise:
        return None
    if options.gemm_blocking == STRASSEN:
        return options if strassen_applies(shape, vector_width) else None
    names = gemm_blockings(vector_width, vector_registers)
    if options.gemm_blocking not in names:
        return None
    # Blockings that cut this layer in the same way are one.
    same = _cut(shape, options.gemm_blocking, vector_width, vector_registers)
    for name in ("", *names):
        if _cut(shape, name, vector_width, vector_registers) == same:
            return replace(options, gemm_blocking=name)
    return options


def gemm_blockings(vector_width: int, vector_registers: int = 0) -> tuple[str, ...]:
    """Register tiles of the matrix multiplication, besides the default, that a search may try: pixels x filters."""
    if vector_width == 4 and vector_registers >= 32:
        return ("8x12", "6x16")
    return {1: ("4x4", "2x8"), 4: ("5x8", "3x12"), 8: ("6x16", "12x8"), 16: ("8x48", "14x32")}[vector_width]


#: Every blocking that exists, the default first; ``canonical`` says which are valid where.
GEMM_BLOCKINGS = ("", STRASSEN, "4x4", "2x8", "5x8", "3x12", "8x12", "6x16", "12x8", "8x48", "14x32")


def _cut(shape: ConvolutionShape, blocking: str, vector_width: int, vector_registers: int) -> GemmTiles:
    rows, columns = shape.output_rows, shape.output_columns
    return gemm_tiles(rows, columns, shape.filters, 0, vector_width, vector_registers, blocking)
