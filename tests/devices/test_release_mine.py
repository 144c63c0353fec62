"""``ellopt devices --release-mine``, through the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ellopt.cli.main import main
from ellopt.devices.cluster.client import ClusterClient
from ellopt.devices.sessions import HeldLock, Session
from tests.support.devices.cluster import API_KEY, ClusterService

ONE, TWO = "127.0.2.1", "127.0.2.2"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterService]:
    """A service of two boards; the first is locked by a run of ours that is no more."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with ClusterService([ONE, TWO]) as running:
        ended = Session()
        lock = HeldLock(running.url, ONE, "key", "ada")
        ended.add_lock(lock)
        assert ClusterClient(running.url, API_KEY).lock(ONE, lock.user, "task", lock.key)
        ended.close()  # what it lists stays
        yield running


def release(service: ClusterService, key: str) -> int:
    return main(["devices", "--release-mine", "--cluster", service.url, "--apikey", key])


def test_a_wrong_key_ends_with_1_and_the_right_one_frees_the_board_later(
    service: ClusterService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release(service, "another key") == 1
    answer = capsys.readouterr()
    said = " ".join(answer.err.split())
    assert f"could not release {ONE}" in said
    assert "refuses the API key" in said
    assert "Traceback" not in said
    assert "another key" not in answer.err + answer.out
    assert "nothing of yours" not in answer.err + answer.out
    assert service.locked == [ONE]

    assert release(service, API_KEY) == 0
    assert f"released: {ONE}" in capsys.readouterr().out
    assert service.locked == []

    assert release(service, API_KEY) == 0
    assert "nothing of yours was left locked" in capsys.readouterr().out
