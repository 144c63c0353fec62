"""A fleet in which everything fails once: the same winners, each observation exactly once, no board visited by two."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ellopt.devices.replay import ReplayPool
from ellopt.devices.staging import run_here
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from tests.support.devices.boards import PASSWORD, Board
from tests.support.devices.cluster import API_KEY, ClusterService
from tests.support.devices.recorded import RecordedToolchain, Smooth
from tests.support.fleet import ProcessFleet, process_fleet
from tests.support.paths import module_command
from tests.support.patience import eventually
from tests.support.pretend import MODEL, TARGET, small_space
from tests.support.processes import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the whole of 127.0.0.0/8, which Linux has")

BOARDS = ("--target", "pi3", "--ipaddress", "one", "two")


def undisturbed(folder: Path, seed: int) -> tuple[dict[str, str], int]:
    """The winners of the same search on boards of this process, and its number of trials."""
    toolchain = RecordedToolchain(latency=Smooth(seed))
    with ReplayPool(run_here, count=2) as pool:
        limits = MeasureSettings(visit_spacing=0.0, disturbed_attempts=1)
        measurer = DeviceMeasurer(MODEL, toolchain, pool, TARGET, folder / "bundles", limits)
        space = small_space(toolchain, (1, 4))
        result = search(space, measurer, SearchSettings(sampler="grid", plans_per_visit=1), folder)
    plan = result.evidence.best_plan()
    assert plan is not None
    return {node_id: str(options) for node_id, options in plan.items()}, len(trials(folder))


def trials(folder: Path) -> list[str]:
    """The keys of the trials in the observation log, in the order in which they were written."""
    path = folder / "observations.jsonl"
    if not path.exists():
        return []
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [found["observation"]["key"] for line in whole if "observation" in (found := json.loads(line))]


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


class Client:
    """A search, in a process of its own."""

    def __init__(self, fleet: ProcessFleet, folder: Path, seed: int = 0) -> None:
        self.fleet, self.folder, self.seed = fleet, folder, seed
        self.begin()

    def begin(self) -> None:
        self.fleet.start(self.name, module_command("fleet.client", self.folder, self.fleet.address, self.seed))

    @property
    def name(self) -> str:
        return f"client-{self.folder.name}"

    def goes_on(self, more: int = 2) -> bool:
        """Wait for further trials; False if it ended instead."""
        before = len(trials(self.folder))
        process = self.fleet.processes[self.name]
        assert eventually(lambda: len(trials(self.folder)) >= before + more or process.poll() is not None, 120), (
            self.fleet.log(self.name) + self.folder.with_suffix(".log").read_text()[-3000:]
        )
        return process.poll() is None

    def end(self, seconds: float = 240) -> None:
        process = self.fleet.processes[self.name]
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -1
        assert code == 0, self.fleet.log(self.name) + self.folder.with_suffix(".log").read_text()[-3000:]


def kill_a_worker_in_the_middle_of_a_visit(fleet: ProcessFleet, client: Client) -> None:
    assert eventually(lambda: fleet.visited("east"))
    fleet.kill("east")
    for left in (fleet.folder / "boards").glob("east-*.busy"):
        left.unlink()  # what the board itself does when nobody is there
    assert client.goes_on()
    fleet.start_worker("east", *BOARDS, FLEET_TEST_SECONDS="0.1")


def cut_a_worker_off_for_longer_than_it_may_be_silent(fleet: ProcessFleet, client: Client) -> None:
    assert eventually(lambda: fleet.visited("west"))
    fleet.signal("west", signal.SIGSTOP)
    scheduler = fleet.log("scheduler").count("Remove worker")
    assert eventually(lambda: fleet.log("scheduler").count("Remove worker") > scheduler)
    fleet.signal("west", signal.SIGCONT)
    assert client.goes_on()


def restart_the_scheduler(fleet: ProcessFleet, client: Client) -> None:
    fleet.kill("scheduler")
    fleet.start_scheduler()
    assert client.goes_on()


def kill_the_client_and_start_it_again(fleet: ProcessFleet, client: Client) -> None:
    assert eventually(lambda: fleet.visited("east") or fleet.visited("west"))
    fleet.kill(client.name)
    client.begin()
    assert client.goes_on()


FAULTS: tuple[Callable[[ProcessFleet, Client], None], ...] = (
    kill_a_worker_in_the_middle_of_a_visit,
    cut_a_worker_off_for_longer_than_it_may_be_silent,
    restart_the_scheduler,
    kill_the_client_and_start_it_again,
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessFleet]:
    with process_fleet(tmp_path_factory.mktemp("fleet")) as started:
        for name in ("east", "west"):
            started.start_worker(name, *BOARDS, FLEET_TEST_SECONDS="0.1")
        for name in ("east", "west"):
            assert eventually(partial(started.is_there, name), 120), started.log(name)
        yield started


def test_a_search_survives_all_that_can_happen_to_a_fleet(fleet: ProcessFleet, tmp_path: Path) -> None:
    wanted, count = undisturbed(tmp_path / "calm", 0)
    client = Client(fleet, tmp_path / "stormy")
    assert client.goes_on(1)
    for fault in FAULTS:
        fault(fleet, client)
    client.end()
    assert result(client.folder)["best"] == wanted
    assert len(set(trials(client.folder))) == len(trials(client.folder)) == count, "every trial is there exactly once"
    assert not list((fleet.folder / "boards").glob("*.shared")), "one visit at a time on a board"
    assert eventually(lambda: not list((fleet.folder / "boards").glob("*.busy")))


def test_two_clients_share_boards_and_a_worker_of_another_version_is_refused(
    fleet: ProcessFleet, tmp_path: Path
) -> None:
    fleet.start_worker("old", *BOARDS, FLEET_TEST_VERSION="0.0.9")
    fleet.start_worker("slow", *BOARDS, FLEET_TEST_SECONDS="0.6")
    for name in ("old", "slow"):
        assert eventually(partial(fleet.is_there, name), 120), fleet.log(name)
    clients = [Client(fleet, tmp_path / f"client{seed}", seed) for seed in (1, 2)]
    for client in clients:
        client.end()
    for client in clients:
        wanted, count = undisturbed(tmp_path / f"calm{client.seed}", client.seed)
        found = result(client.folder)
        assert found["best"] == wanted
        assert len(set(trials(client.folder))) == len(trials(client.folder)) == count
        assert "it has ellopt 0.0.9" in found["set_aside"]["old"]
        assert {device.partition(":")[0] for device in found["devices"]} <= {"east", "west", "slow"}
    assert not list((fleet.folder / "boards").glob("*.shared"))


def test_no_board_is_left_locked_by_a_site_that_was_killed(fleet: ProcessFleet, tmp_path: Path) -> None:
    """Real locks of a cluster service, and boards over SSH; their password is the worker's alone."""
    for name in [name for name in fleet.processes if name not in ("scheduler",)]:
        fleet.kill(name)
    port = free_port("127.0.3.1")
    made = [Board(f"127.0.3.{i}", tmp_path / f"board-{i}", port) for i in (1, 2)]
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("".join(board.known_hosts_line() for board in made))
    try:
        with ClusterService([board.host for board in made]) as service:
            arguments = (fleet.address, service.url, port, known_hosts, tmp_path / "state")

            def start() -> None:
                command = module_command("fleet.cluster_worker", *arguments)
                fleet.start("site", command, RPI_APIKEY=API_KEY, RPI_PASSWORD=PASSWORD)

            start()
            assert eventually(lambda: fleet.is_there("site")), fleet.log("site")
            client = Client(fleet, tmp_path / "client", 3)
            assert client.goes_on(2)
            assert eventually(lambda: service.locked)
            fleet.kill("site")
            assert service.locked, "it was killed while it held boards"
            start()
            client.end()
            assert fleet.kill("site", signal.SIGTERM) == 128 + signal.SIGTERM
            assert service.locked == []
            assert service.problems == []
    finally:
        for board in made:
            board.close()
    wanted, count = undisturbed(tmp_path / "calm", 3)
    assert result(client.folder)["best"] == wanted
    assert len(set(trials(client.folder))) == len(trials(client.folder)) == count
    seen = fleet.log(client.name) + client.folder.with_suffix(".log").read_text() + fleet.log("scheduler")
    assert PASSWORD not in seen + (client.folder / "result.json").read_text()
