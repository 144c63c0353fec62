"""Strassen's algorithm for the matrix multiplication of a convolution: an eighth fewer multiplications.

Worth it where channels and filters are many: 1x1 layers above all, which no other method makes cheaper.
"""

from __future__ import annotations

from dataclasses import replace

from ellopt.codegen.convolution.gemm.tiles import gemm_tiles
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import PanelPacking, StrassenPacking
from ellopt.core.shapes import ConvolutionShape

#: Its name among the blockings of a matrix multiplication.
STRASSEN = "strassen"
#: Where filters are split among threads, they share sums of the input, of at most as many bytes.
_SHARED_BYTES = 512 * 1024
#: Products of fewer terms than the first use tiles for as many registers as the second. Measured with 16 lanes.
_SHORT_DEPTH, _REGISTERS_IF_SHORT = 32, 20
#: Bytes of sums that a thread makes at a time, where nothing is known of the first level of cache; else a quarter of
#: it: input, output and the sums that wait for other products are beside them.
_BLOCK_BYTES = 64 * 1024


def strassen_applies(shape: ConvolutionShape, lanes: int) -> bool:
    """Whether columns, channels and filters can be halved, the latter two in whole vectors."""
    return (
        not shape.depthwise
        and shape.plain
        and shape.receptive_field >= shape.stride
        and shape.output_columns % 2 == 0
        and shape.channels % (2 * lanes) == 0
        and shape.filters % (2 * lanes) == 0
        and shape.filters >= 16
    )


def strassen_kernel(site: KernelSite) -> Kernel:
    """The kernel that computes ``site`` with one level of Strassen's algorithm."""
    half_columns = site.out_columns // 2
    row_floats = ((half_columns - 1) * site.stride + site.field) * site.channels // 2
    # Sums leave the registers between products. Short products make that dear, so tiles are smaller there.
    most_registers = _REGISTERS_IF_SHORT if site.field**2 * site.channels // 2 < _SHORT_DEPTH else 0
    tiles = gemm_tiles(site.out_rows, half_columns, site.filters // 2, 0, site.cpu, most_registers)
    groups = tiles.pixels.row_groups

    def sum_floats(block_groups: int) -> int:
        rows = (block_groups * tiles.pixels.tile_rows - 1) * site.stride + site.field
        return 4 * rows * row_floats

    def waiting_floats(block_groups: int) -> int:
        pixels = tiles.pixels.tile_rows * tiles.pixels.tile_columns * tiles.pixels.column_tiles
        return 3 * block_groups * pixels * tiles.tile_vectors * site.cpu.lanes

    weight_bytes = 7 * site.field**2 * site.channels * site.filters
    shared = weight_bytes > site.cpu.own_weight_bytes and 4 * sum_floats(groups) <= _SHARED_BYTES
    block_bytes = site.cpu.near_bytes // 4 or _BLOCK_BYTES
    blocks = groups if shared else min(groups, max(1, block_bytes // (4 * sum_floats(1))))
    tiles = replace(tiles, block_groups=blocks)
    packing = StrassenPacking(PanelPacking(site.cpu.lanes, tiles.panels, tiles.wide_panels, tiles.tile_vectors))
    return make_kernel(
        site,
        "conv_strassen.h",
        packing,
        {**tiles.macros, "STRASSEN_SHARED": str(int(shared))},
        shared_floats=sum_floats(blocks) if shared else 0,
        thread_floats=waiting_floats(blocks) + (0 if shared else sum_floats(blocks)),
    )
