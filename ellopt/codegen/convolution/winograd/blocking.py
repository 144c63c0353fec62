"""How Winograd's matrix products are cut into register tiles and blocks (conv_winograd.h)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from ellopt.codegen.convolution.tiling import CACHE_LINE, even_split, odd_lines
from ellopt.codegen.convolution.winograd.matrices import DERIVED_TILE, tile_sides, weight_transforms
from ellopt.targets import Cpu

#: nonseparable_channel_depth counts blocks of so many channels.
CHANNEL_UNIT = 16

#: Products of the filter panels of one pass.
_PRODUCT_FLOATS = 64 * 1024
#: The transformed input of a block that all threads work on: it stays in the cache that they share, or in each one's.
_SHARED_FLOATS = 64 * 1024
#: What an idle core counts when register tiles are compared, as one kernel serves one thread and all of them.
_IDLE_WEIGHT = 0.3


@dataclass(frozen=True)
class RegisterTiles:
    """``row_panels`` panels of tiles, the first ``tall_panels`` of ``tile_rows`` tiles, the others one less; ``panels``
    panels of filters, the first ``wide_panels`` of ``vectors`` vectors, the others one less."""

    tile_rows: int
    row_panels: int
    tall_panels: int
    vectors: int
    panels: int
    wide_panels: int


@dataclass(frozen=True)
class WinogradBlocking:
    """The cut of one layer: see conv_winograd.h for the meaning of the macros."""

    positions: int
    tiles: RegisterTiles
    block_panels: int
    shared_panels: int
    group_panels: int
    input_pitch: int
    input_step: int
    product_step: int

    @property
    def panels(self) -> int:
        """Panels of filters."""
        return self.tiles.panels

    @property
    def macros(self) -> dict[str, str]:
        names = {
            "TILE_ROWS": self.tiles.tile_rows,
            "ROW_PANELS": self.tiles.row_panels,
            "TALL_PANELS": self.tiles.tall_panels,
            "TILE_VECTORS": self.tiles.vectors,
            "PANELS": self.tiles.panels,
            "WIDE_PANELS": self.tiles.wide_panels,
            "BLOCK_PANELS": self.block_panels,
            "SHARED_PANELS": self.shared_panels,
            "GROUP_PANELS": self.group_panels,
            "INPUT_PITCH": self.input_pitch,
            "INPUT_STEP": self.input_step,
            "PRODUCT_STEP": self.product_step,
        }
        return {name: str(value) for name, value in names.items()}

    def workspace_floats(self, filter_depth: int) -> int:
        """Floats that one thread needs; ``filter_depth`` 0 means the kernel's own."""
        group = min(filter_depth or self.group_panels, self.panels)
        products = max(self.block_panels * group, self.shared_panels) * self.product_step
        return self.positions * (self.block_panels * self.input_step + products)

    @property
    def shared_floats(self) -> int:
        """What a block of two threads or more needs besides their own."""
        return self.positions * max(0, self.shared_panels - 2 * self.block_panels) * self.input_step


def positions(tile: int, window: tuple[int, int], stride: int = 1) -> int:
    """Multiplications of a tile for each channel and filter: the inputs along each direction with three weights."""
    return prod((side - 1) * stride + 3 for side, size in zip(tile_sides(tile), window, strict=True) if size > 1)


def weight_positions(tile: int, window: tuple[int, int]) -> int:
    """The weights of a tile for each channel and filter, with any stride: some serve several positions with 2."""
    return prod(len(transform) for transform, size in zip(weight_transforms(tile), window, strict=True) if size > 1)


def derives(rows: int, columns: int, cpu: Cpu) -> bool:
    """Whether a layer of ``rows`` x ``columns`` outputs can have the tile that derives weights: the sums of a vector of
    tiles take 24 registers. In-order processors wait for what is derived."""
    down, across = tile_sides(DERIVED_TILE)
    if cpu.lanes != 4 or cpu.registers < 32 or cpu.in_order:
        return False
    return ceil(rows / down) * ceil(columns / across) % cpu.lanes == 0


@lru_cache(maxsize=1024)  # of the options of a layer, hundreds have the same tile
def blocking(
    rows: int,
    columns: int,
    channels: int,
    filters: int,
    tile: int,
    cpu: Cpu,
    cores: int = 1,
    window: tuple[int, int] = (3, 3),
    stride: int = 1,
) -> WinogradBlocking:
    """The cut of a layer of ``rows`` x ``columns`` outputs, shared by ``cores`` of ``cpu``. A tile has the outputs of
    its side along each direction in which the ``window`` has three cells, else one."""
    sides = (side if size > 1 else 1 for side, size in zip(tile_sides(tile), window, strict=True))
    tiles = prod(ceil(count / side) for count, side in zip((rows, columns), sides, strict=True))
    points = positions(tile, window, stride)
    large = weight_positions(tile, window) * channels * filters > cpu.winograd_large_floats
    all_vectors = ceil(filters / cpu.lanes)
    if tile == DERIVED_TILE:
        row_panels = tiles // cpu.lanes
        cut = RegisterTiles(cpu.lanes, row_panels, row_panels, 1, all_vectors, all_vectors)
    else:
        cut = _register_tile(tiles, all_vectors, cpu, large, cores)
    pitch = ceil(channels / cpu.lanes) * cpu.lanes
    if pitch % 128 == 0:
        pitch += CACHE_LINE
    input_step = odd_lines(cut.tile_rows * pitch)
    product_step = odd_lines(cut.tile_rows * cut.vectors * cpu.lanes)
    if cut.panels == 1 and product_step < input_step:  # products may take the input's place
        product_step = input_step
    panel_floats = points * (input_step + min(cut.panels, 2) * product_step)
    block_panels = max(1, cpu.winograd_block_floats // panel_floats)
    if large:
        block_panels = max(block_panels, ceil(cpu.winograd_pass_tiles / cut.tile_rows))
    block_panels = min(block_panels, cut.row_panels)
    block_panels = ceil(cut.row_panels / ceil(cut.row_panels / block_panels))
    shared_panels = min(cut.row_panels, max(block_panels, _SHARED_FLOATS // (points * input_step)))
    shared_panels = ceil(cut.row_panels / ceil(cut.row_panels / shared_panels)) if cores > 1 else block_panels
    group_panels = min(cut.panels, max(1, _PRODUCT_FLOATS // (points * product_step * block_panels)))
    if tile == DERIVED_TILE:  # while the weights of a group pass, products and input stay in the second level of cache
        panel_weights = weight_positions(tile, window) * channels * cut.vectors * cpu.lanes
        group_panels = min(group_panels, max(1, cpu.winograd_large_floats // panel_weights))
    return WinogradBlocking(points, cut, block_panels, shared_panels, group_panels, pitch, input_step, product_step)


def _split_tiles(tiles: int, most_tiles: int, panels: int, cores: int) -> tuple[int, int, int]:
    """(row panels, tiles of the tall ones, tall ones). Where filters are too few to be shared by the cores, tiles
    are: then each core gets as many row panels."""
    row_panels = ceil(tiles / most_tiles)
    if panels < cores and row_panels < 8 * cores:
        row_panels = min(tiles, ceil(row_panels / cores) * cores)
    tile_rows = ceil(tiles / row_panels)
    return row_panels, tile_rows, tiles - row_panels * (tile_rows - 1)


def _register_tile(tiles: int, all_vectors: int, cpu: Cpu, large_weights: bool, cores: int) -> RegisterTiles:
    """The cut into the register tiles that multiply fastest, roughly."""
    choices = cpu.winograd_tiles if large_weights else cpu.winograd_small_tiles or cpu.winograd_tiles
    best: tuple[float, RegisterTiles] | None = None
    for most_vectors, most_tiles in choices:
        panels, vectors, wide = even_split(all_vectors, most_vectors)
        row_panels, rows, tall = _split_tiles(tiles, most_tiles, panels, cores)
        cost = sum(
            count * panel_count * _cost(tile_rows, width, cpu)
            for count, tile_rows in ((tall, rows), (row_panels - tall, rows - 1))
            for panel_count, width in ((wide, vectors), (panels - wide, vectors - 1))
        )
        if large_weights:  # the first tiles wait for them
            cost += sum(
                panel_count * max(0.0, width * cpu.memory_cycles - _cost(rows, width, cpu))
                for panel_count, width in ((wide, vectors), (panels - wide, vectors - 1))
            )
        if panels >= cores:
            idle = ceil(panels / cores) * cores / panels - 1
            cost *= 1 + _IDLE_WEIGHT * idle
        if best is None or cost < best[0]:
            best = (cost, RegisterTiles(rows, row_panels, tall, vectors, panels, wide))
    assert best is not None
    return best[1]


def _cost(tiles: int, vectors: int, cpu: Cpu) -> float:
    """Cycles of one step of the inner loop: multiply-adds or the latency of the multiplier; loads cost a little."""
    return max(tiles * vectors, cpu.latency) + 0.15 * (tiles + vectors)
