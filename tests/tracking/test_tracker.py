"""The tuning process's side, with the real writer process: nothing that MLflow does or fails to do holds it up."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import ellopt.tracking.outbox as outbox_module
from ellopt.core.errors import ConfigurationError
from ellopt.core.trial import TrialState, Visit
from ellopt.tracking import Tracker, TrackingSettings, open_tracking, sync
from ellopt.tracking.outbox import find_outboxes
from ellopt.tracking.tracker import MlflowTracker
from tests.support.paths import module_environment
from tests.support.patience import SOON
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs

SERVERS = Callable[[int], AbstractContextManager[str]]


def tune(tracker: Tracker, output_dir: Path, trials: int = 4, pause: float = 0.0) -> float:
    """A whole made-up run; returns the seconds that tracking's own calls took."""
    report = make_report(make_trials(trials))
    started = time.monotonic()
    model = tracker.start_model(make_start(output_dir))
    for trial in report.trials:
        model.trial_finished(trial, {"profile_report.txt": "profile\n"})
        time.sleep(pause)
    write_outputs(output_dir, report)
    model.finish_model(report, output_dir)
    return time.monotonic() - started - pause * trials


def trial_runs(client: MlflowClient, experiment: str = "ellopt/net") -> list[Run]:
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else client.search_runs([found.experiment_id], "tags.kind = 'trial'")


def test_outside_mlflow_run_the_default_store_has_it_all(workplace: Path) -> None:
    with open_tracking(TrackingSettings()) as tracker:
        tune(tracker, workplace / "out")
    summary = tracker.summary
    assert (summary.waiting, summary.trouble) == (0, "")
    run = MlflowClient().get_run(summary.runs["net"]["run_id"])
    assert run.info.status == "FINISHED"
    assert run.info.artifact_uri == f"{workplace}/mlruns/{run.info.experiment_id}/{run.info.run_id}/artifacts"
    assert summary.runs["net"]["experiment"] == "ellopt/net"
    assert len(trial_runs(MlflowClient())) == 4


def test_off_means_off(workplace: Path) -> None:
    with open_tracking(TrackingSettings(mlflow=False)) as tracker, tracker.quiet():
        tune(tracker, workplace / "out")
    assert tracker.summary.runs == {}
    assert find_outboxes(workplace) == []
    assert not (workplace / "mlruns").exists()


@pytest.mark.parametrize("name", ["a/b", "a:b", "  ", ".", ".."])
def test_a_name_that_the_registry_refuses_is_told_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match="--register"):
        open_tracking(TrackingSettings(register=name))


# a server that is not there, or does not answer


def test_a_server_that_is_down_holds_up_nothing_and_gets_everything_later(
    workplace: Path,
    mlflow_server: SERVERS,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    unused_port: int,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:a-secret-word@127.0.0.1:{unused_port}")
    with caplog.at_level(logging.WARNING, "ellopt"):
        started = time.monotonic()
        with open_tracking(TrackingSettings()) as tracker:
            took = tune(tracker, workplace / "out", pause=1.0)
        elapsed = time.monotonic() - started
    assert took < SOON
    assert elapsed < 40
    assert tracker.summary.waiting == 8
    assert tracker.summary.trouble
    warnings = [record.getMessage() for record in caplog.records]
    assert len([text for text in warnings if "takes no records now" in text]) == 1
    assert any("ellopt sync" in text for text in warnings)

    with mlflow_server(unused_port) as address:
        result = sync(workplace / "out")
        assert (result.outboxes, result.delivered, result.waiting, result.problems) == (1, 8, 0, ())
        assert sync(workplace).delivered == 0
        client = MlflowClient(address)
        (run,) = result.runs.values()
        assert client.get_run(run["run_id"]).info.status == "FINISHED"
        assert "net_options.ell" in {item.path for item in client.list_artifacts(run["run_id"])}
        assert len(trial_runs(client)) == 4
        assert run["tracking_uri"] == address
    for path in (workplace / "out" / ".tracking").rglob("*"):
        assert not path.is_file() or b"a-secret-word" not in path.read_bytes()


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_never_answers_costs_no_more_than_the_patience(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with open_tracking(TrackingSettings(patience=2.0)) as tracker:
            took = tune(tracker, workplace / "out", pause=1.0)
            with tracker.quiet():
                pass
            leaving = time.monotonic()
        left = time.monotonic() - leaving
    assert took < SOON
    assert left < SOON
    assert tracker.summary.waiting == 8


def test_an_output_directory_that_takes_no_records_does_not_stop_the_run(
    workplace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (workplace / "out").mkdir()
    (workplace / "out" / ".tracking").write_text("in the way")
    with open_tracking(TrackingSettings()) as tracker:
        tune(tracker, workplace / "out")
    assert any("cannot be written" in record.getMessage() for record in caplog.records)
    assert tracker.summary.runs == {}


# a process that is killed

_KILLED_RUN = """
import sys, time
from pathlib import Path
from tests.support.tracking_runs import make_start, make_trials
from ellopt.tracking import TrackingSettings, open_tracking
with open_tracking(TrackingSettings()) as tracker:
    model = tracker.start_model(make_start(Path(sys.argv[1])))
    for trial in make_trials(60)[:40]:
        model.trial_finished(trial)
        time.sleep(0.05)
    print(dict(model.mlflow_run), flush=True)
    time.sleep(600)
"""


def test_after_kill_9_the_same_run_goes_on_without_duplicates(workplace: Path) -> None:
    script = [sys.executable, "-c", _KILLED_RUN, str(workplace / "out")]
    process = subprocess.Popen(script, env=module_environment(), stdout=subprocess.PIPE, start_new_session=True)
    client = MlflowClient()
    deadline = time.monotonic() + 90
    while len(trial_runs(client)) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)  # in the middle of delivery, as a rule
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    (path,) = find_outboxes(workplace)
    _wait_until_free(path)

    with open_tracking(TrackingSettings()) as tracker:
        tune(tracker, workplace / "out", trials=60)
    names = [run.info.run_name for run in trial_runs(client)]
    assert sorted(names) == [f"trial {number:03d}" for number in range(60)]
    parents = {run.data.tags["mlflow.parentRunId"] for run in trial_runs(client)}
    assert parents == {tracker.summary.runs["net"]["run_id"]}
    assert client.get_run(parents.pop()).info.status == "FINISHED"


def _wait_until_free(path: Path) -> None:
    """The orphaned writer ends by itself."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with outbox_module.delivering(path):
                return
        except outbox_module.OutboxBusy:
            time.sleep(0.1)
    pytest.fail("the writer process outlived the process that it wrote for")


# measurements and secrets


def test_a_run_can_be_watched_but_nothing_is_delivered_while_a_measurement_runs(workplace: Path) -> None:
    client = MlflowClient()
    with open_tracking(TrackingSettings()) as tracker:
        model = tracker.start_model(make_start(workplace / "out"))
        deadline = time.monotonic() + 60
        while not model.mlflow_run and time.monotonic() < deadline:
            time.sleep(0.05)
        run = client.get_run(model.mlflow_run["run_id"])
        assert (run.info.status, run.data.tags["state"]) == ("RUNNING", "running")

        with tracker.quiet(), tracker.quiet():
            for trial in make_trials(5):
                model.trial_finished(trial)
            time.sleep(1.0)
            assert trial_runs(client) == []
        deadline = time.monotonic() + 60
        while len(trial_runs(client)) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(trial_runs(client)) == 5
    ended = client.get_run(run.info.run_id)
    assert (ended.info.status, ended.data.tags["state"]) == ("KILLED", "interrupted")


def test_no_secret_gets_anywhere(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    password, apikey, token = "correct-horse-7", "k3y/with+signs=", "tracking-token-9"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    monkeypatch.setenv("RPI_APIKEY", apikey)
    client = MlflowClient()
    outer = client.create_run("0")  # as inside "mlflow run"
    monkeypatch.setenv("MLFLOW_RUN_ID", outer.info.run_id)
    report = make_report(make_trials(3))
    visit = Visit("1", f"pi@{apikey}", "board")
    leaky = replace(
        report.trials[1], samples=None, state=TrialState.FAILED, reason=f"ssh said: {password}", visit=visit
    )
    report = replace(report, trials=(report.trials[0], leaky), environment={"RPI_PASSWORD": password, "token": token})
    output = workplace / "out"
    write_outputs(output, report)
    (output / "compile_switches.txt").write_text(f"-imap x --apikey {apikey}\n")
    (output / "net_options.ell").write_bytes(b"\x00 weights " + password.encode())
    (workplace / "log.txt").write_text(f"x {token}\n")
    with open_tracking(TrackingSettings(), secrets=(password,)) as tracker:
        model = tracker.start_model(replace(make_start(output), params={"note": password, "seed": "1"}))
        for trial in report.trials:
            model.trial_finished(trial, {"profile_report.txt": f"{password}\n"})
        model.finish_model(report, output, extra=[workplace / "log.txt"])
    assert tracker.summary.waiting == 0

    logged = [path for path in (workplace / "mlruns").rglob("*") if path.is_file()]
    assert {path.name for path in logged} >= {"compile_switches.txt", "tuning_report.json", "log.txt"}
    assert "net_options.ell" not in {path.name for path in logged}
    written = [*logged, workplace / "mlflow.db", *(output / ".tracking").rglob("*")]
    for path in written:
        if path.is_file():
            content = path.read_bytes()
            for secret in (password, apikey, token):
                assert secret.encode() not in content, path
    assert all(password not in record.getMessage() for record in caplog.records)
    assert tracker.summary.runs["net"]["run_id"] == outer.info.run_id
    assert client.get_run(outer.info.run_id).data.params["note"] == "[removed]"


def test_a_secret_that_mlflow_run_itself_logged_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with MlflowTracker(TrackingSettings(), secrets=("correct-horse-7",)) as tracker:
        tracker.on_event({"event": "run", "path": "p", "run": {}, "params": {"password": "correct-horse-7"}})
    assert "holds a secret in its parameter 'password'" in caplog.text
    assert "correct-horse-7" not in caplog.text


# sync


def test_sync_asks_for_a_directory_that_exists(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such directory"):
        sync(tmp_path / "nowhere")


def test_sync_from_elsewhere_waits_for_a_running_process_and_finds_the_store_of_the_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_tracking(TrackingSettings(patience=0.0)) as tracker:
        tune(tracker, workplace / "out")
    assert tracker.summary.waiting > 0
    elsewhere = workplace / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    (path,) = find_outboxes(workplace)
    with outbox_module.delivering(path):
        busy = sync(workplace)
    assert busy.waiting == tracker.summary.waiting
    assert "another process" in busy.problems[0]

    assert sync(workplace).waiting == 0
    assert len(trial_runs(MlflowClient(f"sqlite:///{workplace}/mlflow.db"))) == 4
    assert list(elsewhere.iterdir()) == []
    assert list((workplace / "mlruns").rglob("net_options.ell"))
