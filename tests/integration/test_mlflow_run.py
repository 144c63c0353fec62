"""``mlflow run .`` logs into the run that MLflow started."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.paths import REPOSITORY


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """The store after a run of the project on tiny16."""
    place = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{place / 'mlflow.db'}"
    parameters = {
        "model_path": REPOSITORY / "tests" / "data" / "tiny16.ell",
        "output_path": place / "out",
        "options": "quick",
        "trials": 4,
    }
    command = [sys.executable, "-m", "mlflow", "run", str(REPOSITORY), "--env-manager", "local"]
    for name, value in parameters.items():
        command += ["-P", f"{name}={value}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {
        "MLFLOW_TRACKING_URI": uri,
        "RPI_PASSWORD": "very-secret-password",
        "ELLOPT_STORE": str(place / "measurements.sqlite"),  # what others measured leaves no trial to make
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiny16" in done.stdout
    return MlflowClient(uri)


def test_the_run_that_mlflow_started_is_the_parent_of_the_trials(client: MlflowClient) -> None:
    runs = client.search_runs(["0"])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    parent = parents[0]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["latency_ms"] > 0
    given = {"model_path", "output_path", "options", "trials", "target"}
    own = {"options_file", "seed", "threads", "distinct_variants", "model_file"}
    assert {key for key in parent.data.params if "." not in key} - given <= own | {"compiler"}
    assert all(parent.data.params.values())
    trials = [run for run in runs if run.data.tags.get("kind") == "trial"]
    assert trials
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in trials)
    assert all(any(key.startswith("1034 ") for key in run.data.params) for run in trials)
    assert all(any(key.startswith("trial_ms/1034 ") for key in run.data.metrics) for run in trials)
    assert any(key.startswith("winner.1034 ") for key in parent.data.params)


def test_the_parent_holds_the_output_model_and_the_summary(client: MlflowClient) -> None:
    parent = next(run for run in client.search_runs(["0"]) if "mlflow.parentRunId" not in run.data.tags)
    names = {Path(file.path).name for file in client.list_artifacts(parent.info.run_id)}
    names |= {Path(f.path).name for d in names for f in client.list_artifacts(parent.info.run_id, d)}
    assert {"tiny16_options.ell", "compile_options.json", "tuning_report.html", "tuning_report.json"} <= names
    assert parent.data.tags["mlflow.note.content"]


def test_no_secret_is_logged(client: MlflowClient) -> None:
    for run in client.search_runs(["0"]):
        assert "very-secret-password" not in str(run.to_dictionary())


def test_debian_has_only_python3(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python3").chmod(0o755)
    for name in ("bash", "git"):
        (programs / name).symlink_to(str(shutil.which(name)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {"PATH": str(programs), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    command = [sys.executable, "-m", "mlflow", "run", str(REPOSITORY), "--env-manager", "local", "-e"]

    command += ["show", "-P", f"model={REPOSITORY / 'tests' / 'data' / 'tiny16.ell'}"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0, shown.stderr
    assert "1034" in shown.stdout
    (run,) = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_runs(["0"])
    assert run.info.run_name == "show tiny16.ell"
    assert set(run.data.params) == {"model"}


#: A Python of pyenv's whose environments have no packages of their own: what is to be installed is written down.
STAND_IN = """\
#!/bin/sh
case "$1 $2" in
"-m venv")
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "PATH=$3/bin:\\$PATH" > "$3/bin/activate" ;;
"-m pip")
    { cat "$5" && echo; } >> INSTALLED ;;
*)
    exec PYTHON "$@" ;;
esac
"""


def test_plain_mlflow_run_makes_an_environment_without_conda(tmp_path: Path) -> None:
    """With pyenv, as MLflow asks for; nothing is fetched here."""
    installed, programs = tmp_path / "installed.txt", tmp_path / "bin"
    python = tmp_path / "pyenv" / "versions" / platform.python_version() / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN.replace("INSTALLED", f"'{installed}'").replace("PYTHON", sys.executable))
    programs.mkdir()
    (programs / "pyenv").write_text(f'#!/bin/sh\n[ "$1" != root ] || echo {tmp_path}/pyenv\n')
    for program in (python, programs / "pyenv"):
        program.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_ENV_ROOT": str(tmp_path / "envs"),
    }
    command = [sys.executable, "-m", "mlflow", "run", str(REPOSITORY), "-e", "show", "-P"]
    command += [f"model={REPOSITORY / 'tests' / 'data' / 'tiny16.ell'}", "-P", "json=true"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert '"1034"' in shown.stdout
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert set(packages) <= set(installed.read_text().splitlines())
