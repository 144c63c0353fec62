"""The table of processors: the facts that decide how kernels are cut. 32-bit states are rows of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: (vectors of filters, pixels or tiles at most) that a register tile of winograd's matrix products may have.
RegisterTiles = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Cpu:
    """A processor as generated code sees it.

    ``compiler_name`` is zig's; empty where the compiler finds out. A feature behind a minus corrects what the compiler
    believes: with many independent sums, multiply-add is the fastest there is on these processors, too.
    ``library_name`` is the processor that a program's C library is compiled for, which takes a minute or two: one for
    all that are alike; empty for ``compiler_name``.
    ``lanes`` is the number of float32 in a vector register, 1 without vectors; ``registers`` is how many of them may
    hold sums, inputs and weights. ``latency`` is how many independent multiply-adds keep the multipliers busy.
    ``fused``: whether it has multiply-add in one rounding. ``by_lane``: whether 32-bit NEON's multiply-add by lane, in
    two roundings, is taken all the same: it wants no copies. ``in_order``: whether its loads take issue slots
    from its multiply-adds, so that loops are ordered by hand (codegen/runtime/multiply_in_order.h) where they are.
    ``blockings`` are names of register tiles of the matrix multiplication, pixels x filters, that a search may try
    besides the default. ``winograd_tiles`` are winograd's: beside the sums there is a register for every vector of
    weights and two for broadcast inputs (none for inputs where a multiplication takes them by lane), or the compiler
    spills a sum in the inner loop. ``winograd_small_tiles``, where there are any, serve layers with small weights:
    there transforms count more, and their results stay nearer with fewer tiles at once.
    ``winograd_block_floats``: transformed input and products of a block, some of the second level of cache, which on
    small boards all cores share. ``winograd_large_floats``: transformed weights beyond this many crowd out everything
    else from that level, so that few passes are made over them, each for ``winograd_pass_tiles`` tiles or more.
    ``winograd_position_first``: whether winograd reads its weights from the first to the last, whatever the number of
    panels: small processors follow few streams from memory.
    ``memory_cycles``: multiply-adds in the time in which a vector of weights comes from memory: with fewer tiles at
    once the multipliers wait for large weights.
    ``own_weight_bytes``: weights of more bytes are split among cores; of fewer, every core reads all, and output rows
    are split. Rows keep what a core wrote in its own cache until it reads it again, which pays where cores have large
    caches of their own.
    ``cache_mib``: whole MiB of weights that the last-level cache keeps from one pass to the next.
    ``near_bytes``: the first level of data cache, where blocks of a matrix multiplication are cut for it.
    ``half_lanes`` is the number of float16 in a vector register, where the processor computes with them; else 0.
    ``depthwise_tiles``: output rows and columns of a depthwise layer's register tile, for windows up to 3x3 and for
    larger ones: its sums, and a row of input and weights or one of each, fit in the registers.
    ``large_caches``: whether they hold what the layer before wrote. Elsewhere depthwise layers and pooling begin with
    the rows that were written last, and have the next ones fetched ahead of time.
    """

    name: str
    compiler_name: str
    lanes: int
    registers: int
    blockings: tuple[str, ...]
    winograd_tiles: RegisterTiles
    winograd_small_tiles: RegisterTiles = ()
    latency: int = 4
    fused: bool = True
    by_lane: bool = False
    in_order: bool = False
    winograd_block_floats: int = 16 * 1024
    winograd_large_floats: int = 160 * 1024
    winograd_pass_tiles: int = 18
    winograd_position_first: bool = False
    memory_cycles: float = 0.0
    own_weight_bytes: int = 256 * 1024
    cache_mib: int = 0
    library_name: str = ""
    near_bytes: int = 0
    half_lanes: int = 0
    large_caches: bool = False
    depthwise_tiles: tuple[tuple[int, int], tuple[int, int]] = ((2, 4), (2, 4))


_SCALAR = Cpu("scalar", "", 1, 16, ("4x4", "2x8"), ((2, 4),))
_SSE = Cpu("x86-64", "", 4, 16, ("5x8", "3x12"), ((2, 5), (3, 3), (1, 8)), large_caches=True)
_AVX = Cpu(
    "x86-64-v3", "", 8, 16, ("6x16", "12x8"), ((2, 6), (3, 3), (1, 12)),
    winograd_block_floats=40 * 1024, own_weight_bytes=2048 * 1024, large_caches=True,
)  # fmt: skip
_AVX512 = Cpu(
    "x86-64-v4", "", 16, 32, ("8x48", "14x32"), ((2, 14), (3, 9), (4, 6), (1, 28)), ((2, 7), (3, 5), (4, 4), (1, 14)),
    latency=5, winograd_block_floats=40 * 1024, own_weight_bytes=2048 * 1024, large_caches=True,
)  # fmt: skip
#: 64-bit NEON multiplies by lanes: a register holds four channels of each tile instead of a broadcast input.
_NEON_64 = Cpu(
    "aarch64", "generic", 4, 32, ("8x12", "6x16"), ((2, 8), (3, 6), (1, 12)), cache_mib=2, library_name="generic",
    near_bytes=32 * 1024, winograd_position_first=True,
)  # fmt: skip
#: 32-bit NEON has 16 registers, but compilers need one for the copies that its multiply-add in one rounding wants.
_NEON_32 = replace(
    _SSE, name="armv7", registers=15, library_name="cortex_a7", large_caches=False, depthwise_tiles=((1, 4), (1, 6))
)

_ROWS = (
    _SCALAR,
    _SSE,
    _AVX,
    _AVX512,
    _NEON_64,
    _NEON_32,
    # VFP has 32 scalars; some are addresses' copies. Behind the first level of cache there is only memory, from which
    # nothing is fetched ahead: large blocks, so that weights come from there less often.
    replace(
        _SCALAR,
        name="arm1176",
        compiler_name="arm1176jzf_s-slowfpvmlx",
        registers=28,
        fused=False,
        in_order=True,
        latency=8,
        blockings=("4x4",),
        winograd_tiles=((4, 4),),
        winograd_block_floats=64 * 1024,
        near_bytes=16 * 1024,
    ),
    replace(_NEON_32, name="cortex-a7", compiler_name="cortex_a7-slowfpvfmx"),
    replace(
        _NEON_32,
        name="cortex-a53-32",
        compiler_name="cortex_a53",
        registers=16,
        by_lane=True,
        in_order=True,
        blockings=("4x8", "5x8"),
        winograd_tiles=((2, 4),),
    ),
    replace(_NEON_32, name="cortex-a72-32", compiler_name="cortex_a72", registers=16, by_lane=True, cache_mib=1),
    replace(
        _NEON_64,
        name="cortex-a53",
        compiler_name="cortex_a53",
        cache_mib=0,
        in_order=True,
        blockings=("8x8", "6x8"),
        winograd_tiles=((2, 8),),
        winograd_large_floats=96 * 1024,
        winograd_pass_tiles=32,
    ),
    replace(
        _NEON_64,
        name="cortex-a72",
        compiler_name="cortex_a72",
        cache_mib=1,
        winograd_tiles=((3, 6), (2, 9), (1, 12)),
        winograd_small_tiles=((4, 6),),
        winograd_block_floats=8 * 1024,
        memory_cycles=6.25,
    ),
    replace(
        _NEON_64,
        name="cortex-a76",
        compiler_name="cortex_a76",
        cache_mib=2,
        half_lanes=8,
        winograd_tiles=((2, 9), (1, 12)),
        memory_cycles=8.0,
    ),
)

CPUS: dict[str, Cpu] = {row.name: row for row in _ROWS}
