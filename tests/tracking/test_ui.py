"""Which pages ``ellopt ui`` opens, and of which store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.tracking import TrackingSettings, open_tracking
from ellopt.tracking.ui import find_store, pages_of
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs
from tests.support.tracking_stores import deliver, here, record_run


def test_a_model_s_newest_run_and_its_trials(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(record_run(workplace / "out", here(workplace)))
    where = deliver(record_run(workplace / "out", here(workplace), trials=5, finish=False)).where()
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    store = find_store(workplace / "out")
    assert store.uri == f"sqlite:///{workplace}/mlflow.db"
    pages = pages_of(store)
    assert [page.run for page in pages.runs] == [where["page"]]
    assert pages.first == pages.runs[0].trials
    assert where["run_id"] in pages.first
    assert "workflowType=machine_learning" in pages.first


def test_without_records_the_report_knows(workplace: Path) -> None:
    where = deliver(record_run(workplace / "out", here(workplace))).where()
    write_outputs(workplace / "copy", replace(make_report(make_trials(1)), mlflow_run=where))
    assert [page.run for page in pages_of(find_store(workplace / "copy")).runs] == [where["page"]]


def test_several_models_are_shown_side_by_side(workplace: Path) -> None:
    wheres = [deliver(record_run(workplace / "out" / n, here(workplace), name=n)).where() for n in ("net", "other")]
    pages = pages_of(find_store(workplace / "out"))
    assert [page.name for page in pages.runs] == ["net on host", "other on host"]
    assert {page.run for page in pages.runs} == {where["page"] for where in wheres}
    assert pages.first.endswith("viewStateShareKey=ellopt-all-models")  # both are in one experiment


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["ui", *arguments, "--no_browser"]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_shown_is_said_in_a_line(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "empty").mkdir()
    assert "--no_mlflow" in refusal(capsys, "empty")
    assert "no such directory" in refusal(capsys, "nowhere")
    where = deliver(record_run(workplace / "out", here(workplace))).where()
    MlflowClient().delete_run(where["run_id"])
    with pytest.raises(ConfigurationError, match="was deleted"):
        pages_of(find_store(workplace / "out"))
    (workplace / "mlflow.db").unlink()
    assert "there is no such store" in refusal(capsys, "out")
    assert "tune a model first" in refusal(capsys)


def test_a_server_shows_its_runs_itself(
    workplace: Path,
    mlflow_server: Callable[[int], AbstractContextManager[str]],
    unused_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused_port}")
    with mlflow_server(unused_port) as address:
        with open_tracking(TrackingSettings()) as tracker:
            model = tracker.start_model(make_start(workplace / "out"))
            model.finish_model(make_report(make_trials(1)), workplace / "out")
        page = tracker.summary.runs["net"]["page"]
        monkeypatch.delenv("MLFLOW_TRACKING_URI")  # the run knows where it is
        assert find_store(workplace / "out").uri == address
        assert main(["ui", "out", "--no_browser"]) == 0  # at once: no server of ours is to be waited for
        shown = capsys.readouterr().out
        assert f"net on host: {address}/{page}" in shown
        assert f"trials: {address}/#/" in shown
        assert "Ctrl-C" not in shown
    assert main(["ui", "out", "--no_browser"]) == 1
    assert (
        f"ellopt: {address}: no server answers at {address.removeprefix('http://')} (connection refused)\n"
        in capsys.readouterr().err
    )
