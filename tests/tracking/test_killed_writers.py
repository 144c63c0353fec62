"""kill -9 of the writer process at any request to MLflow's server, and of the tuning process before that."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import get_args

import pytest
from mlflow import MlflowClient

from ellopt.tracking import sync
from ellopt.tracking.outbox import outboxes_of
from ellopt.tracking.record import Destination
from tests.support.crashes import Announce, in_a_process
from tests.support.tracking_stores import only, record_run, runs_by_name, snapshot
from tests.support.writers import Killer, When, Writers, server_variables


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Killer]:
    place = tmp_path_factory.mktemp("server")
    store = Path(shutil.copy(empty_store, place))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server_variables(store, place / "artifacts").items():
            patch.setenv(name, value)
        killer = Killer()
        with killer.serving():
            yield killer


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    with Writers.ready(tmp_path_factory.mktemp("writers") / "log") as ready:
        yield ready


def outbox_of(directory: Path, killer: Killer, finish: bool = True) -> Path:
    """The records of a run with two trials."""
    destination = Destination(killer.address, str(directory), f"ellopt/{directory.name}")
    path = record_run(directory, destination, trials=2, finish=finish).outbox_path
    assert path is not None
    return path


def test_killed_at_any_request_nothing_is_lost_and_nothing_is_there_twice(
    workplace: Path, killer: Killer, writers: Writers
) -> None:
    """The n-th writer is killed at its n-th request; the last one brings the rest."""
    client = MlflowClient(killer.address)
    assert not writers.run(killer, outbox_of(workplace / "whole", killer))
    expected = snapshot(client, "ellopt/whole")
    for killer.when in get_args(When):
        outbox = outbox_of(workplace / killer.when, killer)
        deaths = next(n for n in count() if not writers.run(killer, outbox, n + 1))
        assert 5 < deaths < 50
        assert snapshot(client, f"ellopt/{killer.when}") == expected


def test_when_both_were_killed_sync_ends_the_run_and_the_same_command_goes_on(
    workplace: Path, killer: Killer, writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuning(announce: Announce) -> None:
        outbox_of(workplace / "killed", killer, finish=False)
        os.kill(os.getpid(), signal.SIGKILL)

    client = MlflowClient(killer.address)
    assert not writers.run(killer, outbox_of(workplace / "undisturbed", killer))
    assert in_a_process(tuning) == ([], signal.SIGKILL)
    (outbox,) = outboxes_of(workplace / "killed")
    killer.when = "before"
    assert not writers.run(killer, outbox_of(workplace / "counted", killer, finish=False), orphan=True)
    assert writers.run(killer, outbox, killer.requests, orphan=True)  # at the last one, which ends the run
    assert only(runs_by_name(client, "ellopt/killed"), "net on host").info.status == "RUNNING"

    killer.expect(0)
    killer.started(0)
    result = sync(workplace / "killed")
    assert (result.waiting, result.problems) == (0, ())
    run = only(runs_by_name(client, "ellopt/killed"), "net on host")
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
    assert sync(workplace / "killed").delivered == 0

    assert outbox_of(workplace / "killed", killer) == outbox
    assert not writers.run(killer, outbox)
    found, expected = (snapshot(client, f"ellopt/{name}") for name in ("killed", "undisturbed"))
    assert found.keys() == expected.keys()
    for name, (status, params, history, tags, artifacts) in expected.items():
        # The reason for the interruption is still told.
        assert found[name][3] - tags <= {"reason"}
        assert (found[name][:3], found[name][4]) == ((status, params, history), artifacts)
