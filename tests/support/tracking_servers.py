"""MLflow's own tracking server, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running_server(directory: Path, port: int, store: Path | str) -> Iterator[str]:
    """MLflow's own server on this machine, with its runs in a file or in the database of a URL; yields its address."""
    backend = store if isinstance(store, str) else f"sqlite:///{store}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(directory / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (
        (directory / "server.log").open("a+") as log,  # a test looks for secrets in it
        _served(command, environment, directory, port, log) as address,
    ):
        yield address


@contextmanager
def serving(model: str, tracking_uri: str) -> Iterator[str]:
    """MLflow's own server of a registered model, in this environment; yields its address."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        model,
        "-p",
        str(port),
        "--env-manager",
        "local",
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with tempfile.TemporaryFile("w+") as log, _served(command, environment, Path.cwd(), port, log) as address:
        yield address


@contextmanager
def _served(command: list[str], environment: dict[str, str], directory: Path, port: int, log: IO[str]) -> Iterator[str]:
    """A server as a process, killed with all that it started; yields its address once it is healthy."""
    process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: IO[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    log.seek(0)
    pytest.fail(f"MLflow's server did not start:\n{log.read()[-3000:]}")


@contextmanager
def pages_server(directory: Path, store: Path, port: int) -> Iterator[str]:
    """``ellopt ui`` on a store; yields its address. Ctrl-C ends it, and what it started."""
    command = [sys.executable, "-m", "ellopt", "ui", "--no_browser", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{port}"
        printed = [process.stdout.readline() for _ in range(3)]
        assert printed[1] == f"overview: {address}/#/experiments?workflowType=machine_learning\n"
        assert printed[2] == "Ctrl-C ends the server.\n"
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
