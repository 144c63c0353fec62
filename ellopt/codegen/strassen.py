"""Strassen's algorithm for the matrix multiplication of a convolution: an eighth fewer multiplications.

Worth it where channels and filters are many: 1x1 layers above all, which no other method makes cheaper.
"""

from __future__ import annotations

from dataclasses import replace

from ellopt.codegen.gemm_tiling import gemm_tiles
from ellopt.codegen.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.packing import PanelPacking, StrassenPacking
from ellopt.shapes import ConvolutionShape

#: Its name among the blockings of a matrix multiplication.
STRASSEN = "strassen"
#: Where filters are split among threads, they share sums of the input, of at most as many bytes.
_SHARED_BYTES = 512 * 1024
#: Bytes of sums that a thread makes at a time.
_BLOCK_BYTES = 64 * 1024


def strassen_applies(shape: ConvolutionShape, vector_width: int) -> bool:
    """Whether columns, channels and filters can be halved, the latter two in whole vectors."""
    return (
        not shape.depthwise
        and shape.receptive_field >= shape.stride
        and shape.output_columns % 2 == 0
        and shape.channels % (2 * vector_width) == 0
        and shape.filters % (2 * vector_width) == 0
        and shape.filters >= 16
    )


def strassen_kernel(site: KernelSite) -> Kernel:
    """The kernel that computes ``site`` with one level of Strassen's algorithm."""
    half_columns = site.out_columns // 2
    row_floats = ((half_columns - 1) * site.stride + site.field) * site.channels // 2
    # Sums leave the registers between products, so the tiles that suit plain multiplication are not the best here:
    # measured with 16 lanes.
    blocking = "" if site.vector_width < 16 else "16x16" if site.out_columns >= 16 else "6x64"
    tiles = gemm_tiles(
        site.out_rows,
        half_columns,
        site.filters // 2,
        0,
        site.vector_width,
        site.vector_registers,
        blocking,
    )
    groups = tiles.pixels.row_groups

    def sum_floats(block_groups: int) -> int:
        rows = (block_groups * tiles.pixels.tile_rows - 1) * site.stride + site.field
        return 4 * rows * row_floats

    weight_bytes = 7 * site.field**2 * site.channels * site.filters
    shared = weight_bytes > site.own_weight_bytes and 4 * sum_floats(groups) <= _SHARED_BYTES
    blocks = groups if shared else max(1, min(groups // (4 * site.cores), _BLOCK_BYTES // (4 * sum_floats(1))))
    tiles = replace(tiles, block_groups=blocks)
    packing = StrassenPacking(PanelPacking(site.vector_width, tiles.panels, tiles.wide_panels, tiles.tile_vectors))
    return make_kernel(
        site,
        "conv_strassen.h",
        packing,
        {**tiles.macros, "STRASSEN_SHARED": str(int(shared))},
        shared_floats=sum_floats(blocks) if shared else 0,
        thread_floats=0 if shared else sum_floats(blocks),
    )
