"""Strassen's algorithm for the matrix multiplication of a convolution: an eighth fewer multiplications.

Worth it where channels and filters are many: 1x1 layers above all, which no other method makes cheaper.
"""

from __future__ import annotations

from dataclasses import replace

from ellopt.codegen.gemm_tiling import GemmTiles, gemm_tiles
from ellopt.codegen.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.packing import PanelPacking, StrassenPacking
from ellopt.shapes import ConvolutionShape

#: Its name among the blockings of a matrix multiplication.
STRASSEN = "strassen"
#: Bytes of input sums that threads share at most; beyond, each makes its own, in blocks.
_SHARED_BYTES = 512 * 1024
_BLOCK_BYTES = 64 * 1024


def strassen_applies(shape: ConvolutionShape, vector_width: int) -> bool:
    """Whether rows, channels and filters can be halved, the latter two in whole vectors."""
    return (
        not shape.depthwise
        and shape.receptive_field >= shape.stride
        and shape.output_rows % 2 == 0
        and shape.channels % (2 * vector_width) == 0
        and shape.filters % (2 * vector_width) == 0
        and shape.filters >= 16
    )


def strassen_kernel(site: KernelSite) -> Kernel:
    """The kernel that computes ``site`` with one level of Strassen's algorithm."""
    columns = (site.out_columns - 1) * site.stride + site.field
    row_floats = columns * site.channels // 2
    # Sums leave the registers between products, so the tiles that suit plain multiplication are not the best here:
    # measured with 16 lanes.
    blocking = "" if site.vector_width < 16 else "16x16" if site.out_columns >= 16 else "6x64"
    tiles = gemm_tiles(
        site.out_rows // 2,
        site.out_columns,
        site.filters // 2,
        0,
        site.vector_width,
        site.vector_registers,
        blocking,
    )

    def sum_floats(groups: int) -> int:
        rows = min(groups * tiles.pixels.tile_rows, site.out_rows // 2)
        return 4 * ((rows - 1) * site.stride + site.field) * row_floats

    tiles = _with_blocks(tiles, sum_floats(tiles.pixels.row_groups) * 4, sum_floats(1) * 4)
    shared = tiles.block_groups == tiles.pixels.row_groups
    floats = 4 * ((tiles.block_groups * tiles.pixels.tile_rows - 1) * site.stride + site.field) * row_floats
    packing = StrassenPacking(PanelPacking(site.vector_width, tiles.panels, tiles.wide_panels, tiles.tile_vectors))
    return make_kernel(
        site,
        "conv_strassen.h",
        packing,
        tiles.macros,
        shared_floats=floats if shared else 0,
        thread_floats=0 if shared else floats,
    )


def _with_blocks(tiles: GemmTiles, all_bytes: int, group_bytes: int) -> GemmTiles:
    """All row groups in one block if their sums are small, else blocks that stay in cache."""
    if all_bytes <= _SHARED_BYTES:
        return replace(tiles, block_groups=tiles.pixels.row_groups)
    return replace(tiles, block_groups=min(tiles.pixels.row_groups - 1, max(1, _BLOCK_BYTES // group_bytes)))
