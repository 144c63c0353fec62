"""Strassen's algorithm for the matrix multiplication of a convolution: an eighth fewer multiplications.

Worth it where channels and filters are many: 1x1 layers above all, which no other method makes cheaper.
"""

from __future__ import annotations

from dataclasses import replace

from ellopt.codegen.convolution.gemm.tiles import gemm_tiles
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import PanelPacking, StrassenPacking
from ellopt.codegen.convolution.tiling import odd_lines
from ellopt.core.shapes import ConvolutionShape

#: Their names among the blockings of a matrix multiplication, with one and two levels.
STRASSEN, STRASSEN_TWICE = "strassen", "strassen2"
#: name -> levels
STRASSEN_LEVELS = {STRASSEN: 1, STRASSEN_TWICE: 2}
#: Where filters are split among threads, they share sums of the input, of at most as many bytes.
_SHARED_BYTES = 512 * 1024
#: Products of fewer terms than the first use tiles for as many registers as the second. Measured with 16 lanes.
_SHORT_DEPTH, _REGISTERS_IF_SHORT = 32, 20
#: Bytes of sums that a thread makes at a time, where nothing is known of the first level of cache; else a quarter of
#: it: input, output and the sums that wait for other products are beside them.
_BLOCK_BYTES = 64 * 1024
#: Values of a receptive field from which on two levels are offered.
_LEAST_DEPTH_TWICE = 128
#: By levels: images of sums of the input, and sums of each tile that wait for other products (strassen_once.h,
#: strassen_twice.h).
_IMAGES, _WAITING = {1: 4, 2: 49}, {1: 3, 2: 15}


def strassen_applies(shape: ConvolutionShape, lanes: int, levels: int = 1) -> bool:
    """Whether columns, channels and filters can be halved, the latter two in whole vectors; with two ``levels`` twice,
    where products are long enough."""
    parts = 2**levels
    return (
        not shape.depthwise
        and shape.plain
        and shape.receptive_field >= shape.stride
        and shape.output_columns % parts == 0
        and shape.channels % (parts * lanes) == 0
        and shape.filters % (parts * lanes) == 0
        and shape.filters >= 8 * parts
        and (levels == 1 or shape.receptive_field**2 * shape.channels >= _LEAST_DEPTH_TWICE)
    )


def strassen_kernel(site: KernelSite, levels: int = 1) -> Kernel:
    """The kernel that computes ``site`` with one or two levels of Strassen's algorithm."""
    parts = 2**levels
    columns, depth = site.out_columns // parts, site.field**2 * site.channels // parts
    row_floats = ((columns - 1) * site.stride + site.field) * site.channels // parts
    # Sums leave the registers between products. Short products make that dear, so tiles are smaller there.
    most_registers = _REGISTERS_IF_SHORT if depth < _SHORT_DEPTH else 0
    tiles = gemm_tiles(site.out_rows, columns, site.filters // parts, 0, site.cpu, most_registers)
    groups = tiles.pixels.row_groups
    images, waiting = _IMAGES[levels], _WAITING[levels]

    def sum_floats(block_groups: int) -> int:
        rows = (block_groups * tiles.pixels.tile_rows - 1) * site.stride + site.field
        return images * odd_lines(rows * row_floats)

    def waiting_floats(block_groups: int) -> int:
        pixels = tiles.pixels.tile_rows * tiles.pixels.tile_columns * tiles.pixels.column_tiles
        return waiting * block_groups * pixels * tiles.tile_vectors * site.cpu.lanes

    weight_bytes = 4 * 7**levels * depth * site.filters // parts
    shared = weight_bytes > site.cpu.own_weight_bytes and 4 * sum_floats(groups) <= _SHARED_BYTES
    block_bytes = site.cpu.near_bytes // 4 or _BLOCK_BYTES
    blocks = groups if shared else min(groups, max(1, block_bytes // (4 * sum_floats(1))))
    tiles = replace(tiles, block_groups=blocks)
    panels = PanelPacking(site.cpu.lanes, tiles.panels, tiles.wide_panels, tiles.tile_vectors)
    return make_kernel(
        site,
        "conv_strassen.h",
        StrassenPacking(panels, levels),
        {**tiles.macros, "STRASSEN_SHARED": str(int(shared)), "STRASSEN_LEVELS": str(levels)},
        shared_floats=sum_floats(blocks) if shared else 0,
        thread_floats=waiting_floats(blocks) + (0 if shared else sum_floats(blocks)),
    )
