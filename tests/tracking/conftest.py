"""Tracking stores to test against."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from tests.support.tracking_servers import free_port, running_server

_VARIABLES = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store with its tables and no run. To make the tables takes seconds, to copy them nothing."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def workplace(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a default store of MLflow's in it, and an environment that knows of no other."""
    import mlflow

    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        store.execute("UPDATE experiments SET artifact_location = ?", (f"{tmp_path}/mlruns/0",))
        store.commit()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(None)
    return tmp_path


@pytest.fixture
def mlflow_server(workplace: Path) -> Callable[[int], AbstractContextManager[str]]:
    """Starts a server in a ``with``: ``mlflow_server(port)``. The store and the artifacts outlive it."""

    def start(port: int) -> AbstractContextManager[str]:
        return running_server(workplace, port, workplace / "mlflow.db")

    return start


@pytest.fixture
def unused_port() -> int:
    return free_port()
