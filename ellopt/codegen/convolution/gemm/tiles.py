"""How a matrix multiplication is cut into register tiles (conv_unrolled.h).

A tile is some rows x columns of output pixels times some vectors of filters, all in registers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import ceil

from ellopt.codegen.convolution.in_order import loop_cycles
from ellopt.codegen.convolution.tiling import PixelTiles, even_split, pixel_tiles
from ellopt.targets import Cpu

#: Independent multiply-adds that keep a pipelined multiplier busy; half of it where two work at once.
_INDEPENDENT = 4
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True)
class GemmTiles:
    """``panels`` panels of filters, the first ``wide_panels`` of ``tile_vectors`` vectors, the others one less.

    ``block_groups`` row groups are computed for all panels before the next ones, so that they stay in cache.
    """

    pixels: PixelTiles
    tile_vectors: int
    panels: int
    wide_panels: int
    block_groups: int

    @property
    def macros(self) -> dict[str, str]:
        own = {name.upper(): str(value) for name, value in asdict(self).items() if name != "pixels"}
        return {**self.pixels.macros, **own}


def gemm_tiles(
    rows: int,
    columns: int,
    filters: int,
    input_row_bytes: int,
    cpu: Cpu,
    most_registers: int = 0,
    blocking: str = "",
    depth: int = 0,
) -> GemmTiles:
    """The tiles called ``blocking`` ("6x32": at most 6 pixels times 32 filters), or the best guess if it is empty.

    ``input_row_bytes``: bytes of input that a row of output needs more than the row before.
    ``most_registers``: of those of ``cpu``, use at most as many; 0 means all. ``depth``: values of a receptive field, 0
    where it does not matter. Where the weights of a panel leave room for it in the first level of cache, and those of
    all panels stay in the second, a block of input stays in the first while panels pass. Else it stays in the second,
    and large weights come from memory less often.
    """
    all_vectors = ceil(filters / cpu.lanes)
    registers = min(cpu.registers, most_registers or cpu.registers)
    if blocking:
        pixels, vectors = parse_blocking(blocking, cpu.lanes)
    else:
        pixels, vectors = _best(rows, columns, all_vectors, registers, cpu)
    panels, tile_vectors, wide_panels = even_split(all_vectors, vectors)
    tiles = _pixels_at_once(rows, columns, pixels)
    panel_bytes = 4 * depth * tile_vectors * cpu.lanes
    near = 0 < panel_bytes <= cpu.near_bytes // 2 and panel_bytes * panels <= cpu.own_weight_bytes
    block_bytes = cpu.near_bytes // 2 if near else _BLOCK_BYTES
    block_groups = max(1, block_bytes // max(1, input_row_bytes * tiles.tile_rows))
    return GemmTiles(tiles, tile_vectors, panels, wide_panels, block_groups)


def parse_blocking(blocking: str, lanes: int) -> tuple[int, int]:
    """(pixels, vectors) of a blocking's name. Raises ValueError for any other text."""
    pixels, _, filters = blocking.partition("x")
    return int(pixels), max(1, int(filters) // lanes)


def _pixels_at_once(rows: int, columns: int, pixels: int) -> PixelTiles:
    """Tiles of at most ``pixels`` pixels: parts of a row, or several whole rows if they are short."""
    return pixel_tiles(rows, columns, max(1, pixels // columns), min(pixels, columns))


def _cost(pixels: int, vectors: int, cpu: Cpu) -> float:
    """Cycles of one step of the inner loop, roughly: multiply-adds or loads, at least their latency's share.

    Weights come from farther away than inputs, of which a whole cache line serves the next steps.
    """
    if cpu.in_order:
        return loop_cycles(pixels, vectors, cpu)
    return max(pixels * vectors, pixels + vectors, _INDEPENDENT) + 0.08 * pixels + 0.3 * vectors


@lru_cache(maxsize=1024)  # a layer's cut is asked for with each of its options
def _best(rows: int, columns: int, all_vectors: int, registers: int, cpu: Cpu) -> tuple[int, int]:
    """(pixels, vectors) of the cheapest tile that fits in the registers, with a vector of weights each and two more."""
    candidates = [
        (pixels, vectors)
        for vectors in range(1, min(all_vectors, 6) + 1)
        for pixels in range(1, (registers - 2) // vectors)
        if not cpu.by_lane or pixels * vectors + ceil(pixels / 2) + vectors <= registers  # two channels of two pixels
    ]
    return min(candidates, key=lambda tile: _total_cost(rows, columns, all_vectors, tile, cpu))


def _total_cost(rows: int, columns: int, all_vectors: int, tile: tuple[int, int], cpu: Cpu) -> float:
    pixels, vectors = tile
    tiles = _pixels_at_once(rows, columns, pixels)
    panels, tile_vectors, wide_panels = even_split(all_vectors, vectors)
    return sum(
        groups * parts * panels_here * _cost(tile_rows * tile_columns, vectors_here, cpu)
        for groups, tile_rows in _sizes(tiles.row_groups, tiles.tile_rows, tiles.tall_groups)
        for parts, tile_columns in _sizes(tiles.column_tiles, tiles.tile_columns, tiles.wide_tiles)
        for panels_here, vectors_here in _sizes(panels, tile_vectors, wide_panels)
    )


def _sizes(parts: int, size: int, large_parts: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (large_parts, size), (parts - large_parts, size - 1)
