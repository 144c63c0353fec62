"""How the matrix multiplication of a convolution is cut into register tiles (conv_unrolled.h).

A tile is ``rows`` x ``columns`` output pixels times ``vectors`` vectors of filters, all in registers. Columns, rows
and vectors are shared out evenly: no tile is smaller than another by more than one, as a narrow rest tile would
leave the multipliers idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

#: Vector registers by float32 lanes. 32-bit NEON has 16 of 4 lanes, 64-bit NEON 32: the smaller is safe for both.
_REGISTERS = {1: 16, 4: 16, 8: 16, 16: 32}
#: Independent multiply-adds that keep a pipelined multiplier busy.
_LATENCY = {1: 4, 4: 8, 8: 8, 16: 8}
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True)
class GemmTiling:
    """The cut of one layer: see conv_unrolled.h for the meaning of the macros."""

    rows: int
    columns: int
    vectors: int
    row_groups: int
    tall_groups: int
    column_tiles: int
    wide_tiles: int
    panels: int
    wide_panels: int
    block_groups: int

    @property
    def macros(self) -> dict[str, str]:
        names = {
            "TILE_ROWS": self.rows,
            "TILE_COLUMNS": self.columns,
            "TILE_VECTORS": self.vectors,
            "ROW_GROUPS": self.row_groups,
            "TALL_GROUPS": self.tall_groups,
            "COLUMN_TILES": self.column_tiles,
            "WIDE_TILES": self.wide_tiles,
            "PANELS": self.panels,
            "WIDE_PANELS": self.wide_panels,
            "BLOCK_GROUPS": self.block_groups,
        }
        return {name: str(value) for name, value in names.items()}


def even_split(total: int, largest: int) -> tuple[int, int, int]:
    """(parts, size, parts of that size): ``total`` in parts of at most ``largest``, the others one smaller."""
    parts = ceil(total / largest)
    size = ceil(total / parts)
    return parts, size, total - parts * (size - 1)


def tiling(
    out_rows: int, out_columns: int, filters: int, input_row_bytes: int, stride: int, vector_width: int, blocking: str
) -> GemmTiling:
    """The tiling called ``blocking`` ("6x32": at most 6 pixels times 32 filters), or the best guess if it is empty."""
    pixels, filters_at_once = parse_blocking(blocking) or _best(out_rows, out_columns, filters, vector_width)
    panels, vectors, wide_panels = even_split(ceil(filters / vector_width), max(1, filters_at_once // vector_width))
    if out_columns >= pixels:
        row_groups, rows, tall_groups = out_rows, 1, out_rows
        column_tiles, columns, wide_tiles = even_split(out_columns, pixels)
    else:
        column_tiles, columns, wide_tiles = 1, out_columns, 1
        row_groups, rows, tall_groups = even_split(out_rows, pixels // out_columns)
    block_groups = max(1, _BLOCK_BYTES // max(1, input_row_bytes * rows * stride))
    return GemmTiling(
        rows, columns, vectors, row_groups, tall_groups, column_tiles, wide_tiles, panels, wide_panels, block_groups
    )


def parse_blocking(blocking: str) -> tuple[int, int] | None:
    """(pixels, filters) of a blocking's name; None if it is empty. Raises ValueError for any other text."""
    if not blocking:
        return None
    pixels, _, filters = blocking.partition("x")
    return int(pixels), int(filters)


def _cost(pixels: int, vectors: int, vector_width: int) -> float:
    """Cycles of one step of the inner loop, roughly: multiply-adds, loads, or the latency of the multiplier."""
    multiply_adds = pixels * vectors
    loads = pixels + vectors
    return max(multiply_adds, loads, _LATENCY[vector_width] / 2) + 0.1 * loads


def _best(out_rows: int, out_columns: int, filters: int, vector_width: int) -> tuple[int, int]:
    registers = _REGISTERS[vector_width]
    all_vectors = ceil(filters / vector_width)
    best: tuple[float, int, int] | None = None
    for vectors in range(1, min(all_vectors, 6) + 1):
        for pixels in range(1, registers + 1):
            if pixels * vectors + vectors + 1 > registers:
                break
            if out_columns >= pixels:
                parts, size, wide = even_split(out_columns, pixels)
                groups = [(out_rows * wide, size), (out_rows * (parts - wide), size - 1)]
            else:
                parts, size, wide = even_split(out_rows, pixels // out_columns)
                groups = [(wide, size * out_columns), (parts - wide, (size - 1) * out_columns)]
            panels, width, wide_panels = even_split(all_vectors, vectors)
            cost = sum(
                tiles * panel_count * _cost(tile, tile_vectors, vector_width)
                for tiles, tile in groups
                for panel_count, tile_vectors in ((wide_panels, width), (panels - wide_panels, width - 1))
            )
            if best is None or cost < best[0]:
                best = (cost, pixels, vectors)
    assert best is not None
    return best[1], best[2] * vector_width
