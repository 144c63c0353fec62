"""What is shown of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ellopt.core.options import ConvolutionOptions
from ellopt.frontends.ell.archive import write_archive
from ellopt.frontends.ell.format import archive_of
from ellopt.frontends.ell.metadata import own_options, with_options
from ellopt.frontends.ell.read import read_model
from ellopt.model.describe import describe, format_table


def test_a_row_tells_shapes_costs_and_what_can_be_tried(tiny_path: Path) -> None:
    rows = {row.node_id: row for row in describe(read_model(tiny_path))}
    first, second, full = rows["1034"], rows["1038"], rows["1044"]
    assert (first.input, first.output, first.padding) == ("16x16x3", "16x16x4", "in 1")
    assert (first.parameters, first.multiply_adds) == (4 * 27, 16 * 16 * 4 * 27)
    assert first.variants == "simple, unrolled, winograd"
    assert second.variants == "simple, unrolled, winograd"
    assert rows["1037"].padding == "out 1"
    assert (full.parameters, full.multiply_adds, full.variants) == (320, 320, "")


def test_depthwise_layers_are_marked(shared_models: Path) -> None:
    rows = describe(read_model(shared_models / "layers" / "dw_3x3.ell"))
    (row,) = [row for row in rows if row.variants]
    assert row.output == "13x9x5"
    assert row.variants == "depthwise: simple, unrolled, winograd"
    assert row.multiply_adds == 13 * 9 * 45


def test_the_table_lists_every_node_and_totals(tiny_path: Path, tmp_path: Path) -> None:
    model = read_model(tiny_path)
    table = format_table(describe(model)).splitlines()
    assert table[0].split()[:2] == ["id", "type"]
    assert "options" not in table[0]
    assert len(table) == len(model.nodes) + 2
    assert table[-1].split() == ["total", "769", "33,088"]
    assert not any(line.endswith(" ") for line in table)
    chosen = with_options(archive_of(model), {}, {"1041": own_options(ConvolutionOptions("simple", True))})
    write_archive(chosen, tmp_path / "m.ell")
    table = format_table(describe(read_model(tmp_path / "m.ell"))).splitlines()
    (line,) = [line for line in table if line.startswith("1041")]
    assert "simple parallel" in line


def test_long_names_and_many_inputs_do_not_widen_the_table(tiny_path: Path) -> None:
    rows = describe(read_model(tiny_path))
    long = "/stages/stages.2/stages.2.1/transformer/transformer.0/norm1/LayerNormalization"
    pair = "8x8x4 + 8x8x4"
    many = " + ".join(["8x8x64", *["8x8x32"] * 16, "8x8x4", "8x8x4"])
    rows = (replace(rows[0], name=long, input=many), replace(rows[1], name="/short", input=pair), *rows[2:])
    first, second = format_table(rows).splitlines()[1:3]
    assert long not in first
    assert "  /stages/stages.2/stages…norm1/LayerNormalization  " in first
    assert "  8x8x64 + 8x8x32 (16 times) + 8x8x4 + 8x8x4  " in first
    assert "  /short  " in second
    assert f"  {pair}  " in second
