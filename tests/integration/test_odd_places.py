"""A tuning whose files lie in folders that nobody would choose: it works, or one line says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ellopt.report.document import TuningReport
from tests.support.paths import TINY

ODD = os.fsdecode(b"a b'c\"d%e%20\\f\ng\xff\xfe")
#: as far as MLflow can keep runs below it
ODD_FOR_MLFLOW = 'a b"d%e%20\\f\ng#h?é'


def ellopt(cwd: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ellopt", *arguments],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
        | {"MLFLOW_DISABLE_TELEMETRY": "true", **environment},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=300,
        check=False,
    )


def folder(parent: Path, name: str = ODD) -> Path:
    path = parent / name
    path.mkdir(parents=True)
    return path


def test_a_model_is_tuned_logged_reported_and_compared(tmp_path: Path) -> None:
    model = Path(shutil.copy(TINY, folder(tmp_path / "model")))
    cwd = folder(tmp_path / "current", ODD_FOR_MLFLOW)
    output, log = folder(tmp_path / "output"), folder(tmp_path / "log") / "log.txt"
    done = ellopt(
        cwd,
        *("optimize", "--model_path", model, "--target", "host", "--options", "quick", "--trials", "2"),
        *("-o", output, "--logfile", log),
        TMPDIR=str(folder(tmp_path / "temporary")),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout + log.read_text(errors="surrogateescape")
    assert "wait on disk" not in done.stderr
    report = TuningReport.load(output / "tiny16" / "tuning_report.json")
    assert report.model_path == os.fsencode(model).decode(errors="replace")
    for arguments in (("report", output), ("compare", output, output)):
        read = ellopt(cwd, *arguments)
        assert (read.returncode, read.stderr) == (0, "")
    synced = ellopt(cwd, "sync", output)
    assert (synced.returncode, synced.stdout.strip()) == (0, "0 records delivered, 0 waiting")
    client = MlflowClient(report.mlflow_run["tracking_uri"])
    assert "tuning_report.json" in [file.path for file in client.list_artifacts(report.mlflow_run["run_id"])]
    beside = [path for path in (tmp_path / "current").rglob("*") if path.is_file() and not path.is_relative_to(cwd)]
    assert not beside
    assert list(cwd.glob("mlruns/**/tuning_report.json"))


@pytest.mark.parametrize("name", ["it's", " :c", os.fsdecode(b"\xff")], ids=ascii)
def test_where_mlflow_cannot_keep_runs_one_line_says_so_before_anything_runs(name: str, tmp_path: Path) -> None:
    cwd = folder(tmp_path, name)
    done = ellopt(cwd, "optimize", "--model_path", TINY, "--target", "host", "-o", "out")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "the current folder" in line
    assert "--no_mlflow" in line
    assert "Traceback" not in ellopt(cwd, "doctor", "--target", "host").stderr
