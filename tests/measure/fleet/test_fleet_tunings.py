"""Whole tunings at workers: they go on elsewhere when a worker or the client has gone, and nothing counts twice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ellopt.core.settings import OwnGroups
from ellopt.devices.replay import ReplayPool
from ellopt.devices.staging import run_here
from tests.support.fleet import ProcessFleet, eventually
from tests.support.fleet.whole_tunings import SECRET, TAGS, parts, tune_all, winners
from tests.support.paths import module_command


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessFleet]:
    """A worker that only tunes, and one that has boards and tunes, too: its tunings ask for visits at itself."""
    with ProcessFleet(tmp_path_factory.mktemp("fleet")) as started:
        boards = ("--target", "pi3", "--ipaddress", "one", "two")
        started.start_worker("east", "--tunings", "1")
        started.start_worker("west", *boards, "--tunings", "1", FLEET_TEST_SECONDS="0.3")
        for name in ("east", "west"):
            assert eventually(partial(started.is_there, name), 240), started.log(name)
        yield started


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same models, tuned by this process with boards of its own."""
    folder = tmp_path_factory.mktemp("calm")
    with ReplayPool(run_here, count=2, board="recorded") as pool:
        tune_all(folder, parts(folder, pool, OwnGroups(), None))
    return folder


def observations(folder: Path, tag: str) -> list[str]:
    """The keys of all that was observed, from the client's log."""
    path = folder / tag / ".ellopt" / "search" / "observations.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [line["observation"]["key"] for line in found if "observation" in line]


def test_tunings_survive_the_death_of_their_worker_and_of_their_client(
    fleet: ProcessFleet, calm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def begin() -> None:
        fleet.start("client", module_command("fleet.whole_tunings", out, fleet.address))

    def seen() -> int:
        return sum(len(observations(out, tag)) for tag in TAGS)

    def goes_on() -> None:
        before, client = seen(), fleet.processes["client"]
        assert eventually(lambda: seen() >= before + 2 or client.poll() is not None, 240), fleet.log("client")

    begin()
    goes_on()
    fleet.kill("east")
    goes_on()
    fleet.kill("client")
    begin()
    goes_on()
    fleet.start_worker("east", "--tunings", "1")
    try:
        code = fleet.processes["client"].wait(300)
    except subprocess.TimeoutExpired:
        code = -1
    assert code == 0, fleet.log("client") + fleet.log("west")

    assert winners(out) == winners(calm)
    tracked = (out / "tracked").read_text().splitlines()
    for tag in TAGS:
        keys = observations(out, tag)
        assert len(set(keys)) == len(keys) == len(observations(calm, tag)), "every observation is there exactly once"
        finished = [line for line in tracked if line.startswith(f"{tag} finished")]
        assert len(set(finished)) == len(finished), "every trial is told once"
        told = {line.split(" ", 2)[2] for line in tracked if line.startswith(tag)}
        assert len(told) == len(keys)
        assert sorted(path.name for path in (out / tag).glob("tiny_options*")) == ["tiny_options.ell"]
    assert not list((fleet.folder / "boards").glob("*.shared")), "one visit at a time on a board"
    assert SECRET not in fleet.log("east") + fleet.log("west") + fleet.log("scheduler")
    assert (out / SECRET).exists() is False, "nobody but a client writes where it says"
