"""The benchmark of estimates: its arithmetic, the published times that it reads, what it says of what it cannot run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.estimate import PUBLISHED, Times, agreements, main
from ellopt.estimate.cores import core_of
from ellopt.targets import find_target


def test_one_factor_for_each_board_is_taken_out() -> None:
    rows = [Times("a", "pi5", 10, 20), Times("b", "pi5", 10, 20), Times("c", "pi3_64", 7, 7)]
    pi5, pi3 = agreements(rows)
    assert (pi5.factor, pi5.mean, pi5.worst) == pytest.approx((2, 0, 0))
    assert pi3.factor == 1


def test_an_error_is_what_the_factor_leaves() -> None:
    [board] = agreements([Times("slow", "pi5", 10, 40), Times("fast", "pi5", 10, 10)])
    assert board.factor == pytest.approx(2)
    assert board.errors == pytest.approx({"slow": -0.5, "fast": 1.0})
    assert (board.mean, board.worst) == pytest.approx((0.75, 1.0))


def test_what_was_published_says_where_and_fits_the_models() -> None:
    published = json.loads(PUBLISHED.read_text())
    assert {"url", "version", "date"} <= set(published["source"])
    for board in published["boards"]:
        core = core_of(find_target(board["target"]))
        assert core.mhz == board["mhz"]
        assert board["threads"] == 1
        assert set(board["ms"]) <= set(published["shapes"])
        assert min(board["ms"].values()) > 0


def test_it_says_what_it_could_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--networks", str(tmp_path), "--keep", str(tmp_path / "keep"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["boards"]) == ([], [])
    assert "apt-get" in report["not_run"][0]
