"""From a convolution layer and its options to a kernel: which C template, with which macros, fed with what."""

from __future__ import annotations

from dataclasses import replace

from ellopt.codegen.gemm_tiling import gemm_tiles, pixel_tiles
from ellopt.codegen.kernel import ACTIVATIONS, Kernel, KernelSite, make_kernel
from ellopt.codegen.packing import DepthwisePacking, DirectPacking, PanelPacking
from ellopt.codegen.strassen import STRASSEN, strassen_applies, strassen_kernel
from ellopt.codegen.winograd import canonical_winograd, winograd_kernel
from ellopt.options import ConvolutionOptions
from ellopt.shapes import ConvolutionShape

__all__ = ["ACTIVATIONS", "Kernel", "KernelSite", "canonical", "gemm_blockings", "kernel_for", "make_kernel"]

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
        site.out_rows, site.out_columns, site.filters, row_bytes, site.vector_width, options.gemm_blocking
    )
    packing = PanelPacking(site.vector_width, tiles.panels, tiles.wide_panels, tiles.tile_vectors)
    return make_kernel(site, "conv_unrolled.h", packing, tiles.macros)


def canonical(
    shape: ConvolutionShape, options: ConvolutionOptions, vector_width: int, cores: int
) -> ConvolutionOptions | None:
    """The representative of all options that give the same code and behaviour; None if not valid for ``shape``."""
    if cores <= 1 and options.parallelize:
        options = replace(options, parallelize=False)
    if options.method == "winograd":
        return canonical_winograd(shape, options, vector_width, cores)
    if not options.gemm_blocking:
        return options
    if options.method != "unrolled" or options.gemm_blocking not in gemm_blockings(shape, vector_width):
        return None
    return options


def gemm_blockings(shape: ConvolutionShape, vector_width: int) -> tuple[str, ...]:
    """Blockings of the matrix multiplication that a search may try for ``shape`` besides the default (empty)."""
    return (STRASSEN,) if strassen_applies(shape, vector_width) else ()
