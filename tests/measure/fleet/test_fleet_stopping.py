"""Who is interrupted or killed leaves no visit running, nor one ahead: workers see that nobody wants its result."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import wait
from functools import partial
from pathlib import Path

import pytest
from distributed import Client

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded
from ellopt.core.schedule import Schedule
from ellopt.core.settings import OwnGroups
from ellopt.measure.executors.dask.pool import open_pool
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from tests.support.devices.recorded import RecordedToolchain, Smooth
from tests.support.fleet import ProcessFleet, eventually
from tests.support.paths import module_command
from tests.support.patience import SOON
from tests.support.pretend import MODEL, TARGET, small_space

BOARDS = 2


class Held:
    """A worker with two boards, on which runs end only when the test says so."""

    def __init__(self, fleet: ProcessFleet, dask: Client) -> None:
        self.fleet, self._dask = fleet, dask
        self._gate = fleet.folder / "boards" / "gate"
        self.hold()

    @property
    def runs(self) -> int:
        """How many were begun on its boards."""
        path = self.fleet.folder / "boards" / "slow.runs"
        return path.stat().st_size if path.exists() else 0

    @property
    def at_work(self) -> int:
        return len(list((self.fleet.folder / "boards").glob("slow-*.busy")))

    @property
    def orders(self) -> int:
        """What workers have to do."""
        return sum(map(len, self._dask.processing().values()))

    def hold(self, free: int = 0) -> None:
        """All runs but the next ``free``."""
        self._gate.parent.mkdir(parents=True, exist_ok=True)
        new = self._gate.with_name("new-gate")
        new.write_text(str(self.runs + free))
        new.replace(self._gate)

    def let_go(self) -> None:
        self._gate.unlink()

    def client_with_visits_ahead(self, folder: Path) -> None:
        """Starts a client; both boards are visited for it, and as many visits wait at the worker."""
        self.hold(free=4)
        self.fleet.start("client", module_command("fleet.client", folder, self.fleet.address, 0))
        assert eventually(lambda: self.at_work == BOARDS and self.orders == 2 * BOARDS, 240), self.fleet.log("client")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with ProcessFleet(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start_worker("slow", "--target", "pi3", "--ipaddress", "one", "two")
        assert eventually(partial(fleet.is_there, "slow"), 240), fleet.log("slow")
        with Client(fleet.address, set_as_default=False) as dask:
            yield Held(fleet, dask)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_boards_are_free_soon_after_a_client_has_gone(held: Held, tmp_path: Path, how: signal.Signals) -> None:
    held.client_with_visits_ahead(tmp_path / "client")
    runs = held.runs
    assert held.fleet.kill("client", how) != 0
    assert eventually(lambda: held.at_work == 0 == held.orders, 240), held.fleet.log("slow")
    assert held.runs == runs, "what was sent ahead was withdrawn"
    assert "set aside" not in held.fleet.log("slow"), "no board is to blame"
    assert held.fleet.processes["slow"].poll() is None


def test_a_board_does_not_wait_for_the_client_between_two_visits(held: Held, tmp_path: Path) -> None:
    held.client_with_visits_ahead(tmp_path / "client")
    runs = held.runs
    held.fleet.signal("client", signal.SIGSTOP)
    held.let_go()
    assert eventually(lambda: held.orders == 0), "the visits that were held, and those ahead of them"
    assert held.runs >= runs + BOARDS
    assert not list((held.fleet.folder / "boards").glob("*.shared")), "one visit at a time on a board"
    held.fleet.kill("client")


def test_a_visit_that_waits_behind_others_ends_at_the_time_limit(held: Held, tmp_path: Path) -> None:
    held.hold()
    toolchain, fleet = RecordedToolchain(latency=Smooth(0)), FleetSettings(held.fleet.address)
    space = small_space(toolchain, (1, 4))
    runs = held.runs
    with open_pool(fleet, TARGET, 60) as pool:
        limits = MeasureSettings(visit_spacing=0.0, own=OwnGroups(fleet))
        measurer = DeviceMeasurer(MODEL, toolchain, pool, TARGET, tmp_path, limits)
        measurer.prepare(space)
        until = Deadline.after(3.0)
        asked = [measurer.submit([space.default_plan], Schedule(), until) for _ in range(2 * BOARDS)]
        done, _ = wait(asked, SOON)
        assert [type(future.exception()) for future in done] == [DeadlineExceeded] * (2 * BOARDS)
        assert eventually(lambda: held.at_work == 0 == held.orders), held.fleet.log("slow")
    assert held.runs <= runs + BOARDS


def test_a_worker_that_ends_waits_for_no_visit(held: Held, tmp_path: Path) -> None:
    fleet = held.fleet
    held.hold()
    fleet.start("client", module_command("fleet.client", tmp_path / "client", fleet.address, 0))
    assert eventually(lambda: fleet.visited("slow"), 240), fleet.log("client")
    try:
        assert fleet.kill("slow", signal.SIGTERM) == 128 + signal.SIGTERM
    except subprocess.TimeoutExpired:
        pytest.fail(fleet.log("slow"))
    assert not fleet.visited("slow")
    assert "attempt 1 of" not in (tmp_path / "client.log").read_text(), "no board has failed"
