"""Why a store takes nothing, in words; from the errors that MLflow itself raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mlflow import MlflowClient

from ellopt.tracking.reasons import Reason, reason_of


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def reason_at(uri: str) -> Reason:
    with pytest.raises(Exception) as told:
        MlflowClient(uri, registry_uri=uri).search_experiments(max_results=1)
    return reason_of(told.value)


@pytest.mark.parametrize(
    ("status", "body", "lasting", "said"),
    [
        (404, b"<!doctype html><title>404</title>", True, "no MLflow server, or too old"),
        (401, b"You are not authenticated", True, "user or password"),
        (403, b"no", True, "user or password"),
    ],
)
def test_answers_of_servers(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, lasting: bool, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(status, body) as address:
        reason = reason_at(address)
    assert said in reason.text
    assert reason.lasting == lasting
    assert "<" not in reason.text


def test_a_server_that_is_down_may_come_back(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert not reason_at(f"http://127.0.0.1:{unused_port}").lasting


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mysql://me@127.0.0.1/mlflow", "pip install mysqlclient"),
        ("gopher://127.0.0.1", "MLflow knows no store"),
    ],
)
def test_addresses_that_no_try_makes_right(workplace: Path, uri: str, said: str) -> None:
    reason = reason_at(uri)
    assert reason.lasting
    assert said in reason.text
