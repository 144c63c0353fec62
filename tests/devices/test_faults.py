"""Sixteen boards and a cluster service that fail in every way, and a client that is killed: nothing is lost."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devices.boards import PASSWORD, Board
from tests.support.devices.bundles import leftovers
from tests.support.devices.cluster import API_KEY, ClusterService
from tests.support.paths import module_command, module_environment
from tests.support.patience import eventually
from tests.support.processes import free_port, processes_in

BOARDS = 16
FAULTS = {
    "refuse": 0.01,
    "drop_in": 0.01,
    "drop_out": 0.01,
    "garbage": 0.01,
    "altered": 0.01,
    "full": 0.01,
    "hang": 0.002,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the whole of 127.0.0.0/8, which Linux has")


class Misfortune:
    """Which fault strikes a command. Reproducible, but for the order in which threads come."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.struck: Counter[str] = Counter()
        self.active = True

    def __call__(self, command: str) -> str | None:
        if not self.active:
            return None
        draw = self.random.random()
        for name, share in FAULTS.items():
            draw -= share
            if draw < 0:
                self.struck[name] += 1
                return name
        return None

    def service(self, method: str, path: str) -> tuple[int, bytes] | None:
        draw = self.random.random() if self.active else 1.0
        if draw < 0.02:
            self.struck["service dropped"] += 1
            raise ConnectionError
        if draw < 0.04:
            self.struck["service error"] += 1
            return 503, b"<html>busy</html>"
        if draw < 0.05:
            self.struck["service garbage"] += 1
            return 400, b"<html><body>Bad Request</body></html>"
        return None


@contextlib.contextmanager
def boards(directory: Path) -> Iterator[list[Board]]:
    port = free_port("127.0.1.1")
    made = [Board(f"127.0.1.{i}", directory / f"board-{i}", port) for i in range(1, BOARDS + 1)]
    try:
        yield made
    finally:
        for board in made:
            board.close()


def client(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        module_command("devices.fault_client", directory, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**module_environment(), "RPI_APIKEY": API_KEY, "RPI_PASSWORD": PASSWORD},
        start_new_session=True,
    )


def trials(directory: Path) -> list[str]:
    """The keys of the trials in the observation log, in the order in which they were written."""
    path = directory / "observations.jsonl"
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            if "observation" in (entry := json.loads(line)):
                found.append(entry["observation"]["key"])
    return found


def on_record(state: Path) -> set[str]:
    """The directories on boards that the sessions of dead or ended processes still list."""
    records = [json.loads(path.read_text()) for path in state.rglob("sessions/*.json")]
    return {f"ellopt-{files['owner']}" for record in records for files in record["files"]}


def test_a_search_survives_all_that_can_happen(tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    assert client(calm).wait(120) == 0
    wanted = json.loads((calm / "result.json").read_text())["best"]
    count = len(trials(calm))
    assert count > 15

    stormy, places = tmp_path / "stormy", tmp_path / "boards"
    misfortune = Misfortune(7)
    with boards(places) as made, ClusterService([board.host for board in made]) as service:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text("".join(board.known_hosts_line() for board in made))
        for board in made:
            board.fault = misfortune
        service.before = misfortune.service
        arguments = (service.url, str(made[0].port), str(known_hosts), str(tmp_path / "state"))

        def busy_after(number: float, process: subprocess.Popen[str]) -> bool:
            ended = process.poll() is not None
            return ended or (len(trials(stormy)) > number and bool(service.locked))

        for share in (0.0, 0.3, 0.6):
            process = client(stormy, *arguments)
            assert eventually(functools.partial(busy_after, share * count, process), 120)
            time.sleep(random.uniform(0, 0.5) if share else 0.0)
            assert process.poll() is None, "the search ended before it could be killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if share == 0.0:
                assert service.locked, "the client was killed while it held boards"
            if share == 0.3:
                made[0].change_host_key()
                made[1].die()
            assert eventually(lambda: processes_in(places) == []), "boards end what a dead client has left running"

        process = client(stormy, *arguments)
        assert eventually(lambda: len(trials(stormy)) > 0.8 * count or process.poll() is not None, 120)
        made[2].die()
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output

        result = json.loads((stormy / "result.json").read_text())
        assert result["best"] == wanted
        assert len(set(trials(stormy))) == len(trials(stormy)) == count, "every trial is there exactly once"
        assert service.locked == []
        assert service.problems == []
        assert processes_in(places) == []
        reachable = made[3:]
        for board in reachable:
            assert set(leftovers(board.directory)) <= on_record(tmp_path / "state"), "what is left is not forgotten"
        misfortune.active = False
        assert client(stormy, *arguments).wait(120) == 0
        for board in reachable:
            assert leftovers(board.directory) == [], "the next run removes what one could not"
        assert set(misfortune.struck) >= {"refuse", "drop_in", "drop_out", "garbage", "altered", "full"}
        assert "host key has changed" in stormy.with_suffix(".log").read_text()
