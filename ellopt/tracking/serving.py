"""MLflow's own server, shown on this machine while somebody looks."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, ElloptError, InfrastructureError
from ellopt.files.process import Abort, Completed, run_in_group
from ellopt.files.redaction import without_credentials
from ellopt.tracking.folder import is_server
from ellopt.tracking.process import SECRET_VARIABLES

PORT = 5000  # MLflow's own
_HOST = "127.0.0.1"
_START_SECONDS = 180.0
_PAUSE = 0.2


@dataclass
class Server:
    """A server that is to answer at ``address``; ``ended`` is done when it has ended, if this process started it."""

    address: str
    ended: Future[Completed] | None = field(default=None, repr=False)

    @property
    def is_ours(self) -> bool:
        """Whether it ends with the ``with``."""
        return self.ended is not None

    def ready(self) -> None:
        """Until the server answers. Raises InfrastructureError if it does not start."""
        if self.ended is not None:
            _wait_until_healthy(self.address, self.ended)

    def wait(self) -> None:
        """Until the server ends. Raises InfrastructureError, since nobody asked it to."""
        if self.ended is not None:
            raise InfrastructureError(f"mlflow ui ended: {_last_words(self.ended)}")


@contextmanager
def served(uri: str, port: int | None = None) -> Iterator[Server]:
    """A server that shows the store at ``uri``, for as long as the ``with`` lasts: the store itself, if it is one.

    ``port``: MLflow's own if it is free, else any, if None. Raises ConfigurationError for a port that is taken.
    """
    if is_server(uri):
        yield Server(without_credentials(uri).rstrip("/"))
        return
    port = _free_port(port)
    address = f"http://{_HOST}:{port}"
    abort, ended = Abort(), Future[Completed]()
    thread = threading.Thread(target=_run, args=(uri, port, abort, ended))
    thread.start()
    try:
        yield Server(address, ended)
    finally:
        abort.fire()
        thread.join()


def _run(uri: str, port: int, abort: Abort, ended: Future[Completed]) -> None:
    command = [sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port), "--workers", "1"]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES},
        "MLFLOW_BACKEND_STORE_URI": uri,  # not an argument: those are seen by all
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    try:
        ended.set_result(run_in_group(command, Path.cwd(), Deadline.never(), environment, abort))
    except ElloptError as error:
        ended.set_exception(error)


def _free_port(port: int | None) -> int:
    for wanted in (PORT, 0) if port is None else (port,):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((_HOST, wanted))
            except OSError:
                continue
            found: int = listener.getsockname()[1]
            return found
    raise ConfigurationError(f"--port: {port} is not free; give another one, or none")


def _wait_until_healthy(address: str, ended: Future[Completed]) -> None:
    deadline = Deadline.after(_START_SECONDS)
    while not deadline.passed:
        if ended.done():
            raise InfrastructureError(f"mlflow ui did not start: {_last_words(ended)}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_PAUSE)
    raise InfrastructureError(f"mlflow ui did not answer within {_START_SECONDS:.0f} s")


def _last_words(ended: Future[Completed]) -> str:
    wait([ended])
    if (error := ended.exception()) is not None:
        return str(error)
    lines = [line for line in ended.result().stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {ended.result().exit_code}"


def has_display() -> bool:
    """Whether a browser that is opened would be seen: not on a machine that one is logged in to from afar."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
