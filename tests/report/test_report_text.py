"""The closing table, words, plots and commands."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ellopt.core.options import ConvolutionOptions
from ellopt.report import words
from ellopt.report.deploying import deploy_commands
from ellopt.report.document import TuningReport
from ellopt.report.explain import written as written_text
from ellopt.report.pictures import write_pictures
from ellopt.report.svg import scale_for, tick_text
from ellopt.report.text import closing
from ellopt.search.result import BoardReport
from ellopt.select.decisions import Confirmation, VariantReport
from tests.support.report_text import closing_text
from tests.support.reports import sample_report


def test_the_closing_table_has_what_counts() -> None:
    text = closing_text(sample_report(), Path("out") / "cnn64", width=140)
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("1034"))
    assert row.split("  ")[-1].startswith("11 % less than winograd t6")
    assert "winograd t4 f4 c8 parallel" in row
    assert lines[1].split()[2:5] == ["µs", "default", "µs"]
    assert re.search(r" 96\.6 ", row)
    assert "−67 %" in row
    assert "tie with" in next(line for line in lines if line.startswith("1047"))
    assert "for ELL itself: unrolled" in next(line for line in lines if line.startswith("1055"))
    assert "4.69 ms before, 1.78 ms after, 2.64× as fast" in text
    assert "confirmed by a fresh" in text
    assert f"Files: {Path('out') / 'cnn64'}" in text
    assert "run 0123456789abcdef" in text
    assert "Set aside: 10.0.0.7" in text
    assert "\x1b" not in text


def test_no_gain_is_said() -> None:
    report = sample_report()
    layer = report.layers[0]
    kept = replace(layer, winner=layer.default, winner_ms=layer.default_ms, runner_up=None, why="Nothing was faster.")
    text = closing_text(replace(report, layers=(kept,)), width=140)
    assert "as default; nothing was faster" in text
    assert "faster." not in text, "it goes on"
    assert "0.0 %" in text


def test_without_confirmation_it_says_so() -> None:
    text = closing_text(replace(sample_report(), confirmation=Confirmation((), "", ""), emulated=True))
    assert "not confirmed" in text
    assert "Emulated times" in text


def test_names_are_neither_markup_nor_control_codes() -> None:
    name = "[red]x[/red]\x1b[2J"
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    report = replace(sample_report(), model=name, boards=BoardReport(set_aside={name: name}))
    console.print(closing(report, Path(name)))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "\x1b[2J" not in shown
    assert "[red]x[/red]" in shown


def test_a_console_with_few_signs() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="cp1252", errors="strict"), width=140)
    console.print(closing(replace(sample_report(), model="модель")))
    console.file.flush()
    shown = raw.getvalue().decode("cp1252")
    assert "-67 %" in shown
    assert "2.64x as fast" in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "12.3 µs"),
        (0.0001, "0.100 µs"),
        (0.09996, "100 µs"),
        (0.1, "0.100 ms"),
        (9.996, "10.0 ms"),
        (1.234, "1.23 ms"),
        (12.34, "12.3 ms"),
        (1234.5, "1234 ms"),
        (0, "0 ms"),
        (None, "–"),
    ],
)
def test_milliseconds(value: float | None, text: str) -> None:
    assert words.milliseconds(value) == text


@given(st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=12))
def test_times_below_each_other_have_one_unit_and_short_ones_are_microseconds(times: list[float]) -> None:
    unit = words.unit_of(times)
    for time in times:
        number, _, other = unit.text(time).partition(" ")
        in_ms = float(number) * (1e-3 if "µs" in (other, unit.name) else 1)
        assert in_ms == pytest.approx(time, rel=0.006, abs=0.51 * 10**-unit.decimals / unit.scale)
        assert time >= 0.1 or "µs" in (other, unit.name)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [("assembled", "its winner"), ("ELL's default", "ELL's default"), ("best single option", "one option")],
)
def test_what_was_written_is_said_in_plain_words(chosen: str, text: str) -> None:
    report = sample_report()
    said = written_text(
        replace(report, confirmation=replace(report.confirmation, chosen=chosen, why="it was the fastest"))
    )
    assert text in said
    assert said.endswith(" It was the fastest.")


@pytest.mark.parametrize(
    ("gain", "text"), [(0.2, "−20 %"), (-0.034, "+3.4 %"), (0.0, "0.0 %"), (0.00001, "0.0 %"), (0.0996, "−10 %")]
)
def test_change(gain: float, text: str) -> None:
    assert words.change(gain) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "40 ms"),
        (0.0996, "0.1 s"),
        (9.96, "10 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_moment() -> None:
    assert words.moment("2026-03-01T11:20:30+01:00") == "2026-03-01 10:20 UTC"
    assert words.moment("yesterday") == "yesterday"


@given(st.lists(st.floats(1e-4, 1e5), min_size=1, max_size=20))
def test_scales_hold_their_values_and_have_ticks(values: list[float]) -> None:
    scale = scale_for(values, 100, 500)
    places = [scale(v) for v in sorted(values)]
    assert places == sorted(places)
    assert all(100 <= p <= 500 for p in places)
    ticks = scale.ticks()
    assert len(ticks) >= 2
    assert all(scale.low * (1 - 1e-9) <= t <= scale.high * (1 + 1e-9) for t in ticks)
    assert len({tick_text(t, ticks) for t in ticks}) == len(ticks)


def test_commands_quote_names_that_a_shell_would_read() -> None:
    report = replace(sample_report(), files=("my model; rm -rf x_options.ell",))
    assert all("'my model; rm -rf x_options.ell'" in c.line for c in deploy_commands(report))
    dashed = replace(sample_report(), files=("-x_options.ell",))
    assert "./-x_options.ell" in deploy_commands(dashed)[0].line


@given(st.text(max_size=20))
@settings(max_examples=30)
def test_pictures_are_whole_files_whatever_names_hold(name: str) -> None:
    report = sample_report(model=name)
    report = replace(report, layers=tuple(replace(layer, name=name) for layer in report.layers))
    with TemporaryDirectory() as folder:
        paths = write_pictures(report, Path(folder) / "plots")
        assert {path.name for path in paths} == {"before_after.svg", "layers.svg", "progress.svg"}
        for path in paths:
            root = ElementTree.fromstring(path.read_bytes())
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert "--winograd:" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")


def test_pictures_without_data_are_left_out(tmp_path: Path) -> None:
    bare = replace(sample_report(), trials=(), layers=(), confirmation=Confirmation((), "", ""))
    assert write_pictures(bare, tmp_path) == ()


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "tuning_report.json"
    file.write_text(sample_report().to_json(), encoding="utf-8")
    loaded = TuningReport.load(file)
    assert loaded.to_json() == sample_report().to_json()
    assert TuningReport.load(file) == loaded
    for read, written in zip(loaded.trials, sample_report().trials, strict=True):
        assert (read.plan, read.state, read.total_ms, read.layers_ms) == (
            written.plan, written.state, written.total_ms, written.layers_ms,
        )  # fmt: skip


def test_options_stand_in_the_document_as_their_texts_and_none_as_an_empty_one(tmp_path: Path) -> None:
    report = sample_report()
    first = replace(report.layers[0], runner_up=None, ell_options=None)
    second = replace(report.layers[1], ell_options=ConvolutionOptions("unrolled", True))
    report = replace(report, layers=(first, second, *report.layers[2:]))
    path = tmp_path / "tuning_report.json"
    path.write_text(report.to_json())
    document = json.loads(path.read_text())
    written = document["layers"]
    assert [layer["runner_up"] for layer in written[:2]] == ["", str(second.runner_up)]
    assert [layer["ell_options"] for layer in written[:2]] == ["", "unrolled parallel"]
    assert [v["options"] for v in written[0]["variants"]] == [str(v.options) for v in first.variants]
    for layer, entry in zip(report.layers, written, strict=True):
        assert (entry["winner"], entry["default"]) == (str(layer.winner), str(layer.default))
    for whole, entry in zip(report.confirmation.candidates, document["confirmation"]["candidates"], strict=True):
        assert entry["plan"] == {node_id: str(options) for node_id, options in whole.plan.items()}
    loaded = TuningReport.load(path)
    assert (loaded.layers, loaded.confirmation) == (report.layers, report.confirmation)


def test_a_layer_that_was_not_measured_has_no_time_and_a_long_name_loses_its_middle() -> None:
    report = sample_report()
    long = "/stages/stages.2/stages.2.1/transformer/transformer.0/norm1/Conv"
    layer = replace(report.layers[0], name=long, winner_ms=0.0, default_ms=0.0)
    text = closing_text(replace(report, layers=(replace(layer, winner=layer.default), *report.layers[1:])), width=200)
    row = next(line for line in text.splitlines() if line.startswith(layer.node_id))
    assert long not in row
    assert "0.0 %" in row
    assert row.split("0.0 %")[0].split()[1:] == [
        "/stages/stages.2/stages…transformer.0/norm1/Conv",
        *str(layer.default).split(),
    ]


def test_a_search_that_ended_before_anything_was_tried_is_not_said_to_have_found_nothing() -> None:
    report = sample_report()
    nothing = "every layer's winner is ELL's default: nothing faster was found"
    report = replace(report, confirmation=replace(report.confirmation, why=nothing))
    ended = replace(report.cost, stopped_because="the time limit was reached")
    untried = tuple(
        replace(
            layer, winner=layer.default, variants=tuple(VariantReport(v.options, "untried") for v in layer.variants)
        )
        for layer in report.layers
    )
    assert "nothing faster was found" in closing_text(replace(report, cost=ended), width=200)
    text = closing_text(replace(report, layers=untried, cost=ended), width=200)
    assert "Nothing but ELL's default was tried: the time limit was reached." in text
    assert "nothing faster was found" not in text
