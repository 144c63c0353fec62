"""``doctor`` looks at the store as a run would open it, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ellopt.app.doctor import Finding, tracking_findings


def finding(monkeypatch: pytest.MonkeyPatch, uri: str) -> Finding:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(None)
    (found,) = tracking_findings()
    return found


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("file:///tmp/mlruns-that-is-not-there", "sqlite:///"),
        ("sqlite:///nowhere/mlflow.db", "there is no folder"),
        ("sqlite:////proc/mlflow.db", "cannot be written"),
        ("mysql://me:a-secret-word@127.0.0.1/mlflow", "pip install mysqlclient"),
        ("gopher://me:a-secret-word@127.0.0.1", "MLflow knows no store"),
    ],
)
def test_a_store_that_no_run_can_use_is_a_failure(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    before = sorted(workplace.iterdir())
    found = finding(monkeypatch, uri)
    assert found.state == "failed"
    assert said in found.detail
    assert found.advice
    assert "a-secret-word" not in str(found)
    assert sorted(workplace.iterdir()) == before


def test_a_store_that_the_first_run_makes_is_well(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = finding(monkeypatch, f"sqlite:///{workplace}/new.db")
    assert found.state == "ok"
    assert not (workplace / "new.db").exists()


def test_the_store_of_earlier_runs_is_well(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding(monkeypatch, f"sqlite:///{workplace}/mlflow.db").state == "ok"


def test_a_server_that_is_down_is_a_warning(workplace: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    found = finding(monkeypatch, f"http://me:a-secret-word@127.0.0.1:{unused_port}")
    assert found.state == "warning"
    assert "a-secret-word" not in str(found)
