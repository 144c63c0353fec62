"""Which options of a convolution are one and the same, and how outputs are cut into tiles."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ellopt.codegen.convolution.base import canonical
from ellopt.codegen.convolution.gemm.method import GEMM_BLOCKINGS
from ellopt.codegen.convolution.gemm.strassen import STRASSEN, STRASSEN_LEVELS
from ellopt.codegen.convolution.gemm.tiles import gemm_tiles
from ellopt.codegen.convolution.tiling import even_split, pixel_tiles
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import CPUS, Cpu

AVX, AVX512 = CPUS["x86-64-v3"], CPUS["x86-64-v4"]
LARGE = ConvolutionShape(16, 16, 64, 64, 1, 1, 0, False, 16, 16)


def covered(parts: int, size: int, large: int) -> int:
    return large * size + (parts - large) * (size - 1)


@given(st.integers(1, 500), st.integers(1, 64))
def test_an_even_split_covers_all_with_parts_that_differ_by_one(total: int, largest: int) -> None:
    parts, size, large = even_split(total, largest)
    assert covered(parts, size, large) == total
    assert size <= largest
    assert 1 <= large <= parts


@given(
    *(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300)),
    st.sampled_from(list(CPUS.values())),
)
def test_tiles_cover_the_output_and_fit_in_the_registers(rows: int, columns: int, filters: int, cpu: Cpu) -> None:
    tiles = gemm_tiles(rows, columns, filters, 1000, cpu)
    pixels = tiles.pixels
    assert covered(pixels.row_groups, pixels.tile_rows, pixels.tall_groups) == rows
    assert covered(pixels.column_tiles, pixels.tile_columns, pixels.wide_tiles) == columns
    assert covered(tiles.panels, tiles.tile_vectors, tiles.wide_panels) == -(-filters // cpu.lanes)
    assert pixels.tile_rows * pixels.tile_columns * tiles.tile_vectors + tiles.tile_vectors < cpu.registers
    # The C code has no tile that is both a row and a column smaller.
    assert pixels.tall_groups == pixels.row_groups or pixels.column_tiles == 1


def test_depthwise_tiles_may_be_smaller_both_ways() -> None:
    tiles = pixel_tiles(3, 5, 2, 4)
    assert (tiles.tile_rows, tiles.row_groups, tiles.tall_groups) == (2, 2, 1)
    assert (tiles.tile_columns, tiles.column_tiles, tiles.wide_tiles) == (3, 2, 1)


def test_only_a_processors_own_blockings_are_valid() -> None:
    for cpu in CPUS.values():
        valid = {
            name
            for name in GEMM_BLOCKINGS
            if canonical(LARGE, ConvolutionOptions("unrolled", gemm_blocking=name), cpu, 1) is not None
        }
        assert {"", STRASSEN} <= valid <= {"", *STRASSEN_LEVELS, *cpu.blockings}
        assert set(cpu.blockings) <= set(GEMM_BLOCKINGS)


def test_blockings_that_cut_a_layer_alike_are_one() -> None:
    one_pixel = replace(LARGE, output_rows=1, output_columns=1, filters=16)
    for name in AVX512.blockings:
        options = ConvolutionOptions("unrolled", gemm_blocking=name)
        assert canonical(one_pixel, options, AVX512, 1) == ConvolutionOptions("unrolled")


def test_a_blocking_belongs_to_full_unrolled_layers() -> None:
    named = ConvolutionOptions("unrolled", gemm_blocking=STRASSEN)
    assert canonical(LARGE, named, AVX, 1) == named
    assert canonical(replace(LARGE, depthwise=True), named, AVX, 1) is None
    assert canonical(LARGE, replace(named, method="simple"), AVX, 1) is None
    assert canonical(replace(LARGE, channels=24), named, AVX512, 1) is None
    assert canonical(replace(LARGE, output_columns=15), named, AVX, 1) is None


def test_parallel_is_nothing_on_one_core() -> None:
    options = ConvolutionOptions("simple", parallelize=True)
    assert canonical(LARGE, options, AVX, 1) == ConvolutionOptions("simple")
    assert canonical(LARGE, options, AVX, 2) == options
