"""A second ``mlflow run`` on the same output is refused, and what the first one logs stays the first one's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.paths import TINY


def command(place: Path, uri: str, run_id: str, output: Path, said: Path) -> subprocess.Popen[bytes]:
    """What ``mlflow run`` starts, in another folder each time."""
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": "0"}
    with said.open("wb") as file:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "ellopt", "optimize", "--model_path", str(TINY), "--target", "host"),
                *("-o", os.path.relpath(output, place), "--options", "quick", "--trials", "2", "--no_warm_start"),
            ],
            cwd=place, env=environment, stdout=file, stderr=file,
        )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="on Windows no process can be halted")
def test_it_leaves_the_first_ones_runs_and_records_alone(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    good, refused = (client.create_run("0").info.run_id for _ in range(2))
    output = tmp_path / "out"
    first = command(tmp_path / "first", uri, good, output, tmp_path / "first.txt")
    try:
        tracking = output / "tiny16" / ".tracking"
        while first.poll() is None and not list(tracking.glob("*/records.jsonl")):
            time.sleep(0.01)
        assert first.poll() is None, (tmp_path / "first.txt").read_text()
        first.send_signal(signal.SIGSTOP)  # so that it is not done before the second one comes
        outboxes = sorted(tracking.iterdir())
        second = command(tmp_path / "second", uri, refused, output, tmp_path / "second.txt")
        assert second.wait(120) == 2
        assert sorted(tracking.iterdir()) == outboxes
        first.send_signal(signal.SIGCONT)
        assert first.wait(300) == 0, (tmp_path / "first.txt").read_text()
    finally:
        first.kill()
        first.wait()
    told = (tmp_path / "second.txt").read_text()
    assert "another ellopt is at work there" in told
    assert str(output / "tiny16") in told  # absolute, since MLflow chose the folder
    assert "../" not in told
    assert "MLflow" not in told  # nothing was given to it, so nothing waits
    runs = {run.info.run_id: run for run in client.search_runs(["0"])}
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs.values() if "mlflow.parentRunId" in run.data.tags}
    assert parents == {good}
    assert runs[good].data.metrics["latency_ms"] > 0
    assert "tuning_report.json" in {Path(file.path).name for file in client.list_artifacts(good)}
    assert runs[refused].info.status == "RUNNING"  # MLflow ends what it has begun; nothing is said of it by ellopt
    assert not client.list_artifacts(refused)
    assert not runs[refused].data.params
