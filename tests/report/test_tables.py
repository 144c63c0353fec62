"""What the terminal shows in tables: no word is broken however narrow it is, and nothing is lost."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from ellopt.report.compare.compare import compare
from ellopt.report.several import ModelRow, several
from ellopt.report.tables import WordTable
from tests.support.report_text import closing_text, comparison_text, plain
from tests.support.reports import sample_report

WORDS = st.text("abcdefghij", min_size=1, max_size=20)
CELLS = st.lists(WORDS, max_size=6).map(" ".join)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), st.integers(24, 120))
def test_no_word_is_broken_and_none_is_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    table = WordTable(box=None, pad_edge=False)
    for name in ("first", "second", "third"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    shown = plain(table, width)
    assert max(map(len, shown.splitlines())) <= width
    found = shown.split()
    for word in " ".join(" ".join(row) for row in rows).split():
        assert word in found
        found.remove(word)


def test_where_the_columns_fit_it_is_a_table() -> None:
    table = WordTable("name", "time", box=None, pad_edge=False, show_footer=True)
    table.columns[1].footer = "3"
    table.add_row("conv", "1")
    assert [line.split() for line in plain(table, 20).splitlines()] == [["name", "time"], ["conv", "1"], ["3"]]
    assert plain(table, 9).splitlines() == ["conv", "  time: 1", "  time: 3"]


def test_stacked_cells_go_on_indented() -> None:
    table = WordTable("name", "why", "time", box=None, pad_edge=False)
    table.add_row("convolution of many", "significantly faster than others", "1")
    lines = plain(table, 26).splitlines()
    assert lines == ["convolution of many", "  why: significantly", "    faster than others", "  time: 1"]


@pytest.mark.parametrize("width", [20, 200])
def test_no_line_ends_with_spaces(width: int) -> None:
    table = WordTable("name", "why", title="a title", title_justify="left", padding=(0, 2, 0, 0), show_footer=True)
    table.add_row("conv", "it was faster than all the others")
    table.add_row("conv", "")
    written = StringIO()
    Console(file=written, width=width, color_system=None).print(table)
    lines = written.getvalue().splitlines()
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize("width", [40, 50, 80])
def test_the_closing_tables_break_no_word(width: int) -> None:
    report = sample_report()
    rows = [ModelRow("face", Path("out/face"), report), ModelRow("hand", Path("out"), why="it broke")]
    texts = (
        closing_text(report, Path("out"), width=width),
        comparison_text(compare(sample_report(1), sample_report(2)), width=width),
        plain(several(rows), width),
    )
    for text in texts:
        assert max(map(len, text.splitlines())) <= width
    words = {word for text in texts for word in text.split()}
    assert {"winograd", "parallel", "failed", "broke"} <= words
