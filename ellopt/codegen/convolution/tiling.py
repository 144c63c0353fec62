"""How the output of a convolution is cut into tiles of pixels.

Rows, columns and vectors are shared out evenly: no tile is smaller than another by more than one, as a narrow rest tile
would leave the multipliers idle.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil

#: Floats.
CACHE_LINE = 16


def odd_lines(floats: int) -> int:
    """At least ``floats``: an odd number of cache lines, so that steps spread over all sets of a cache."""
    return (-(-floats // CACHE_LINE) | 1) * CACHE_LINE


@dataclass(frozen=True)
class PixelTiles:
    """``row_groups`` groups of rows, the first ``tall_groups`` of ``tile_rows`` rows, the others one less;
    ``column_tiles`` tiles of columns, the first ``wide_tiles`` of ``tile_columns`` columns, the others one less."""

    tile_rows: int
    tile_columns: int
    row_groups: int
    tall_groups: int
    column_tiles: int
    wide_tiles: int

    @property
    def macros(self) -> dict[str, str]:
        return {name.upper(): str(value) for name, value in asdict(self).items()}


def even_split(total: int, largest: int) -> tuple[int, int, int]:
    """(parts, size, parts of that size): ``total`` in parts of at most ``largest``, the others one smaller."""
    parts = ceil(total / largest)
    size = ceil(total / parts)
    return parts, size, total - parts * (size - 1)


def pixel_tiles(rows: int, columns: int, tile_rows: int, tile_columns: int) -> PixelTiles:
    """``rows`` x ``columns`` pixels in tiles of at most ``tile_rows`` x ``tile_columns``."""
    row_groups, tall_rows, tall_groups = even_split(rows, tile_rows)
    column_tiles, wide_columns, wide_tiles = even_split(columns, tile_columns)
    return PixelTiles(tall_rows, wide_columns, row_groups, tall_groups, column_tiles, wide_tiles)
