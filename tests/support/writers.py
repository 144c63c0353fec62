"""Writer processes that begin at once: a program that has loaded MLflow starts them. And what kills them.

The program reads a line for each writer, an object with ``commands``, the lines that the writer is to read, and answers
with its process id and, when it has ended, with how.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.paths import module_command, module_environment

When = Literal["before", "after"]


def server_variables(store: Path, artifacts: Path) -> dict[str, str]:
    """What MLflow's server finds in its environment, when ``mlflow server`` starts it."""
    from mlflow.server import constants

    return {
        constants.BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{store}",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(artifacts),
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
    }


class Killer:
    """MLflow's server in this process, as ``server_variables`` say: it kills the writer that calls it.

    ``when``: before the request that it dies of is done, or after that, before the writer hears of it. ``requests``
    counts since the writer began. For one store in a process: MLflow remembers it.
    """

    def __init__(self) -> None:
        from mlflow.server import app

        self._application = app
        self._started = threading.Event()
        self._writer = self._at = self.requests = 0
        self.when: When = "before"
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def expect(self, at: int) -> None:
        """Another writer will begin; it dies of its request number ``at``, 0 for never."""
        self._at, self.requests = at, 0
        self._started.clear()

    def started(self, writer: int) -> None:
        self._writer = writer
        self._started.set()

    def _answer(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._started.wait(60)
        self.requests += 1
        dies = self.requests == self._at
        if dies and self.when == "before":
            os.kill(self._writer, signal.SIGKILL)
            raise ConnectionError("nobody listens any more")
        answer: Iterable[bytes] = self._application(environment, start_response)
        if dies:
            answer = list(answer)
            os.kill(self._writer, signal.SIGKILL)
        return answer

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *arguments: Any) -> None: ...


class Writers:
    """Starts writers, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._read() == {"ready": True}

    @classmethod
    @contextmanager
    def ready(cls, log: Path) -> Iterator[Writers]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                module_command("writers"),
                env=module_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        with process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def run(self, killer: Killer, outbox: Path, at: int = 0, orphan: bool = False) -> bool:
        """Let a writer deliver ``outbox`` through ``killer``, which kills it at its request number ``at``.

        ``orphan``: the tuning process was killed, so nothing tells the writer to end. Returns whether it was killed.
        """
        commands: list[dict[str, Any]] = [{"open": str(outbox.resolve())}]
        if not orphan:
            commands.append({"close": 120})
        killer.expect(at)
        assert self._process.stdin is not None
        order = {"uri": killer.address, "commands": "".join(json.dumps(command) + "\n" for command in commands)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        killer.started(self._read()["pid"])
        status = self._read()["status"]
        killed: bool = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0, status
        return killed


def main() -> None:
    import ellopt.tracking.delivery
    import ellopt.tracking.writer

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        reader, writer = os.pipe()
        os.write(writer, order["commands"].encode())
        os.close(writer)  # the writer reads to the end: then nobody is left to tell it anything
        child = os.fork()
        if not child:
            os.environ["MLFLOW_TRACKING_URI"] = order["uri"]
            os.dup2(reader, 0)
            os.dup2(2, 1)
            sys.stdin = os.fdopen(0, encoding="utf-8")
            os._exit(ellopt.tracking.writer.main())
        os.close(reader)
        print(json.dumps({"pid": child}), flush=True)
        print(json.dumps({"status": os.waitpid(child, 0)[1]}), flush=True)


if __name__ == "__main__":
    main()
