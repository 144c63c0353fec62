"""What a lost connection has asked for happens late, or not at all: nothing of it is left on the board."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded, InfrastructureError
from ellopt.devices.bundle import Invocation
from ellopt.devices.open import open_pool
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.ssh import remote
from ellopt.targets import find_target
from tests.support.devices.boards import PASSWORD, USER, Board
from tests.support.devices.bundles import leftovers, script_bundle

HOST = find_target("host")
PACE = Pace(first_rest=0.05, longest_rest=0.1, shortest_pause=0.01, longest_pause=0.05, connect=15.0)
LATE_SECONDS = 1.0  # as ``Board`` has it
COMMANDS = 13  # of a connection that runs one thing: a test below holds it


class Late:
    """Strikes the ``number``-th command only."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0

    def __call__(self, command: str) -> str | None:
        self.seen += 1
        return "late" if self.seen == self.number else None


@pytest.fixture(autouse=True)
def _only_the_boards_own_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "client"))
    script = remote.COMMON_SCRIPT.replace("/tmp ", "").replace(" /dev/shm /var/tmp", "")
    monkeypatch.setattr(remote, "COMMON_SCRIPT", script)


def visit(directory: Path, number: int) -> Late:
    """Run something once on a board whose ``number``-th command is late; the board is checked when that has passed."""
    directory.mkdir()
    bundle = script_bundle(directory / "bundle")
    board = Board("127.0.0.1", directory / "board")
    (directory / "known_hosts").write_text(board.known_hosts_line())
    board.fault = late = Late(number)
    settings = DeviceSettings(
        ipaddresses=(f"127.0.0.1:{board.port}",),
        username=USER,
        password=PASSWORD,
        known_hosts=directory / "known_hosts",
        state_directory=directory / "state",
        board_timeout=30,
    )
    with (
        open_pool(settings, HOST, PACE) as pool,
        contextlib.suppress(InfrastructureError, DeadlineExceeded),
        pool.lease(Deadline.after(20)) as device,
    ):
        device.run(bundle, Invocation(("./runner", "answer", "x"), {"job": b"job"}, ("result",)), Deadline.after(20))
    time.sleep(LATE_SECONDS + 0.5)
    board.close()
    assert leftovers(board.directory) == [], f"command {number} was late"
    return late


def test_a_late_command_leaves_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(COMMANDS) as threads:
        results = list(threads.map(lambda n: visit(tmp_path / str(n), n), range(1, COMMANDS + 2)))
    assert [late.seen >= late.number for late in results] == [True] * COMMANDS + [False], "each command was struck"
