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
from ellopt.targets import CPUS, Cpu

__all__ = [
    "ACTIVATIONS",
    "GEMM_BLOCKINGS",
    "Kernel",
    "KernelSite",
    "canonical",
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
        return make_kernel(site, "conv_depthwise.h", DepthwisePacking(site.cpu.lanes), pixels.macros)
    if options.gemm_blocking == STRASSEN:
        return strassen_kernel(site)
    row_bytes = 4 * site.in_row_stride * site.stride
    tiles = gemm_tiles(
        site.out_rows, site.out_columns, site.filters, row_bytes, site.cpu, blocking=options.gemm_blocking
    )
    packing = PanelPacking(site.cpu.lanes, tiles.panels, tiles.wide_panels, tiles.tile_vectors)
    macros = {**tiles.macros, "OWN_WEIGHT_BYTES": str(site.cpu.own_weight_bytes)}
    return make_kernel(site, "conv_unrolled.h", packing, macros)


def canonical(shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int) -> ConvolutionOptions | None:
    """The representative of all options that give the same code and behaviour; None if not valid for ``shape``."""
    if cores <= 1 and options.parallelize:
        options = replace(options, parallelize=False)
    if options.method == "winograd":
        return canonical_winograd(shape, options, cpu, cores)
    if not options.gemm_blocking:
        return options
    if options.method != "unrolled" or shape.depthwise:
        return None
    if options.gemm_blocking == STRASSEN:
        return options if strassen_applies(shape, cpu.lanes) else None
    if options.gemm_blocking not in cpu.blockings:
        return None
    # Blockings that cut this layer in the same way are one.
    same = _cut(shape, options.gemm_blocking, cpu)
    for name in ("", *cpu.blockings):
        if _cut(shape, name, cpu) == same:
            return replace(options, gemm_blocking=name)
    return options


#: Every blocking that exists, the default first; ``canonical`` says which are valid where.
GEMM_BLOCKINGS = tuple(dict.fromkeys(("", STRASSEN, *(name for cpu in CPUS.values() for name in cpu.blockings))))


def _cut(shape: ConvolutionShape, blocking: str, cpu: Cpu) -> GemmTiles:
    return gemm_tiles(shape.output_rows, shape.output_columns, shape.filters, 0, cpu, blocking=blocking)
