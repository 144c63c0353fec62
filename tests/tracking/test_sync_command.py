"""``ellopt sync`` and ``--register`` through the command line, against MLflow's own server."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mlflow import MlflowClient

from ellopt.tracking import TrackingSettings, open_tracking
from tests.support.paths import TINY
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs
from tests.support.tracking_servers import free_port, running_server

#: what servers before MLflow 3 do not know
NEW = "/logged-models"


def ellopt(cwd: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ellopt", *map(str, arguments)],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


class OldServer(ThreadingHTTPServer):
    """Stands before a server and does not know what is new."""

    behind = 0


class Answers(BaseHTTPRequestHandler):
    server: OldServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if NEW in self.path:
            self._answer(404, {"Content-Type": "text/html"}, b"<!doctype html>\n<title>404 Not Found</title>\n")
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        framing = ("transfer-encoding", "content-length", "connection")  # empty files come in chunks
        headers = {name: value for name, value in self.headers.items() if name.lower() not in framing}
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        self._answer(answer.status, {"Content-Type": answer.headers.get("Content-Type", "")}, answer.read())
        behind.close()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def standing_before(port: int) -> Iterator[OldServer]:
    with OldServer(("127.0.0.1", 0), Answers) as server:
        server.behind = port
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_is_too_old_to_register_is_said_and_the_exit_code_too(workplace: Path) -> None:
    port = free_port()
    with running_server(workplace, port, workplace / "mlflow.db") as real, standing_before(port) as server:
        uri = f"http://127.0.0.1:{server.server_port}"
        done = ellopt(
            workplace,
            *("optimize", "--model_path", TINY, "--target", "host", "-o", "out"),
            *("--options", "quick", "--trials", "2", "--register", "tiny"),
            MLFLOW_TRACKING_URI=uri,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Whole model" in done.stdout, "the tuning itself is whole"
        said = done.stdout + done.stderr
        assert "too old for --register" in said
        assert "--register: tiny is not registered" in said
        assert "<" not in done.stderr
        assert "Traceback" not in said
        client = MlflowClient(real)
        assert not client.search_registered_models()


@pytest.fixture
def waiting(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output directory whose records wait for a server that is gone."""
    output = workplace / "out"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with open_tracking(TrackingSettings(patience=0.0)) as tracker:
            report = make_report(make_trials(3))
            model = tracker.start_model(make_start(output))
            for trial in report.trials:
                model.trial_finished(trial, {})
            write_outputs(output, report)
            model.finish_model(report, output)
        assert tracker.summary.waiting > 0
    return output


def test_what_waits_for_a_server_that_is_gone_goes_elsewhere(
    waiting: Path, mlflow_server: Callable[[int], AbstractContextManager[str]], unused_port: int
) -> None:
    with mlflow_server(unused_port) as address:
        sent = ellopt(waiting.parent, "sync", waiting, "--to", address, "--experiment", 'o\'brien "rescued"')
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert ", 0 waiting" in sent.stdout
        client = MlflowClient(address)
        found = client.get_experiment_by_name('o\'brien "rescued"')
        assert found is not None
        runs = client.search_runs([found.experiment_id])
        assert len([run for run in runs if run.data.tags.get("kind") == "trial"]) == 3
        assert {run.info.status for run in runs} == {"FINISHED"}
        again = ellopt(waiting.parent, "sync", waiting, "--to", address, "--experiment", 'o\'brien "rescued"')
        assert again.returncode == 0
        assert len(client.search_runs([found.experiment_id])) == len(runs)


def test_an_address_of_no_store_is_said_and_the_next_one_is_used(waiting: Path) -> None:
    failed = ellopt(waiting.parent, "sync", waiting, "--to", "gopher://127.0.0.1")
    assert failed.returncode != 0
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "MLflow knows no store of this kind of address" in failed.stdout + failed.stderr
    sent = ellopt(waiting.parent, "sync", waiting, "--to", f"sqlite:///{waiting.parent / 'other.db'}")
    assert sent.returncode == 0, sent.stdout + sent.stderr
