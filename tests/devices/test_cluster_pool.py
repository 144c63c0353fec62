"""The pool of boards that it locks at a cluster service: which are taken, and that all are freed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.devices.bundle import Invocation
from ellopt.devices.cluster.client import ClusterClient
from ellopt.devices.cluster.source import ClusterSource
from ellopt.devices.listing import list_devices, release_mine
from ellopt.devices.open import open_pool
from ellopt.devices.sessions import HeldLock, Session
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import TARGETS, find_target
from tests.support.devices.boards import PASSWORD, Board
from tests.support.devices.bundles import script_bundle
from tests.support.devices.cluster import API_KEY, ONE, PI3, TWO, ClusterService
from tests.support.devices.pace import QUICK

PI3_TARGET = find_target("pi3")


@pytest.fixture
def settings(service: ClusterService, tmp_path: Path) -> DeviceSettings:
    return DeviceSettings(
        cluster=service.url,
        apikey=API_KEY,
        password=PASSWORD,
        ssh_port=1,  # nothing listens there
        known_hosts=tmp_path / "known_hosts",
        state_directory=tmp_path / "state",
        board_timeout=0.5,
    )


def test_the_originals_platform_expressions() -> None:
    assert TARGETS["pi3"].platform_regex == r"ARMv7 Processor rev 4 \(v7l\) \(4 cores\) BCM2835"
    assert TARGETS["pi0"].platform_regex == r"ARMv6-compatible processor rev 7 \(v6l\) \(1 cores\) BCM2835"


def test_only_boards_that_fit_are_taken(service: ClusterService, settings: DeviceSettings) -> None:
    service.machines[ONE]["Platform"] = "Toaster"
    source = ClusterSource(settings, PI3_TARGET)
    assert source.size == 1
    lock = source.lock_one(frozenset())
    assert lock is not None
    assert lock.address == TWO
    source.free(lock)
    source.close()
    with pytest.raises(ConfigurationError, match="Toaster"):
        ClusterSource(settings, find_target("pi0"))
    with pytest.raises(ConfigurationError, match="--platform_regex"):
        ClusterSource(replace(settings, platform_regex="("), PI3_TARGET)


def test_a_board_that_cannot_be_reached_is_freed_again(service: ClusterService, settings: DeviceSettings) -> None:
    with open_pool(settings, PI3_TARGET, QUICK) as pool:
        with pytest.raises(DeadlineExceeded, match="cannot connect"), pool.lease(Deadline.after(20)):
            pass
        assert service.locked == []
        assert set(pool.report().set_aside) == {f"{ONE}:1", f"{TWO}:1"}
    assert sum(path == "/api/lock" for _, path in service.requests) > 2
    assert not list(Path(settings.state_directory or "").rglob("*.json"))


def test_waiting_says_who_holds_the_boards(service: ClusterService, settings: DeviceSettings) -> None:
    for machine in service.machines.values():
        machine.update(Command="Lock", CurrentUserName="ada", CurrentTaskName="bench", LockKey="hers")
    service.machines[TWO]["IsAlive"] = False
    with (
        open_pool(settings, PI3_TARGET, QUICK) as pool,
        pytest.raises(DeadlineExceeded, match=r"2 locked by ada \(bench\), 1 not alive"),
        pool.lease(Deadline.never()),
    ):
        pass
    assert all(machine["LockKey"] == "hers" for machine in service.machines.values())


def test_a_board_that_becomes_free_is_taken(service: ClusterService, settings: DeviceSettings, tmp_path: Path) -> None:
    board = Board(ONE, tmp_path / "board")
    Path(settings.known_hosts or "").write_text(board.known_hosts_line())
    for machine in service.machines.values():
        machine.update(Command="Lock", CurrentUserName="ada", LockKey="hers")
    threading.Timer(0.3, lambda: service.machines[ONE].update(Command="Free")).start()
    patient = replace(settings, ssh_port=board.port, board_timeout=20.0)
    bundle = script_bundle(tmp_path / "bundle")
    with open_pool(patient, PI3_TARGET, QUICK) as pool, pool.lease(Deadline.after(20)) as device:
        assert service.machines[ONE]["CurrentTaskName"] == "ellopt"
        assert (
            device.run(bundle, Invocation(("./runner", "answer", "x"), {"job": b""}), Deadline.after(20)).exit_code == 0
        )
    assert service.locked == [TWO]
    board.close()


def test_a_board_that_was_taken_from_us_is_not_used_again(
    service: ClusterService, settings: DeviceSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ellopt.devices.cluster.source.TRUSTED_SECONDS", 0.0)
    board = Board(ONE, tmp_path / "board")
    Path(settings.known_hosts or "").write_text(board.known_hosts_line())
    with open_pool(replace(settings, ssh_port=board.port), PI3_TARGET, QUICK) as pool:
        with pool.lease(Deadline.after(20)):
            pass
        service.machines[ONE].update(Command="Lock", CurrentUserName="ada", LockKey="hers")
        with pytest.raises(DeadlineExceeded), pool.lease(Deadline.after(1)):
            pass
    assert service.machines[ONE]["LockKey"] == "hers"
    board.close()


def test_what_a_dead_process_left_locked_is_freed(service: ClusterService, settings: DeviceSettings) -> None:
    state = settings.state_directory
    dead, alive = Session(state), Session(state)
    for session, address in ((dead, ONE), (alive, TWO)):
        lock = HeldLock(service.url, address, f"key of {address}", "me")
        session.add_lock(lock)
        assert ClusterClient(service.url, API_KEY).lock(address, lock.user, "task", lock.key)
    dead.guard.release()  # what the system does when a process ends
    assert release_mine(settings) == [ONE]
    assert service.locked == [TWO]
    assert release_mine(settings) == []
    alive.guard.release()
    with open_pool(settings, PI3_TARGET, QUICK):
        assert service.locked == []


def leave_locked(service: ClusterService, settings: DeviceSettings, key: str = "key") -> None:
    """As a process does that dies while it holds a board, which the service has locked with ``key``."""
    dead = Session(settings.state_directory)
    dead.add_lock(HeldLock(service.url, ONE, "key", "ada"))
    dead.guard.release()
    service.machines[ONE].update(Command="Lock", CurrentUserName="ada", LockKey=key)


def test_a_lock_of_a_dead_process_that_somebody_took_over_is_left_alone(
    service: ClusterService, settings: DeviceSettings
) -> None:
    leave_locked(service, settings, "new key")
    assert release_mine(settings) == []
    assert service.machines[ONE]["LockKey"] == "new key"
    assert not list(Path(settings.state_directory or "").rglob("*.json"))


def test_a_lock_that_cannot_be_freed_stays_on_record(
    service: ClusterService, settings: DeviceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ClusterSource(settings, PI3_TARGET)
    assert source.lock_one(frozenset()) is not None
    service.before = lambda method, path: (404, b"")
    source.close()
    assert service.locked == [ONE]
    service.before = lambda method, path: None
    assert release_mine(settings) == [ONE]
    assert service.locked == []


def test_a_wrong_key_releases_nothing_and_says_so(
    service: ClusterService, settings: DeviceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_locked(service, settings)
    with pytest.raises(InfrastructureError, match=rf"could not release {ONE}: .*refuses the API key"):
        release_mine(replace(settings, apikey="another key"))
    assert service.locked == [ONE]
    assert release_mine(settings) == [ONE], "it stayed on record"


def test_a_dead_process_s_lock_that_cannot_be_freed_at_once_is_tried_again(
    service: ClusterService, settings: DeviceSettings
) -> None:
    leave_locked(service, settings)
    service.before = lambda method, path: (400, b"<html>") if path == "free" else None
    with open_pool(settings, PI3_TARGET, QUICK):
        assert service.locked == [ONE]
        service.before = lambda method, path: None
    assert service.locked == []


def test_listing(service: ClusterService, settings: DeviceSettings) -> None:
    service.machines[ONE].update(Command="Lock", CurrentUserName="ada", CurrentTaskName="bench")
    service.machines[TWO].update(IsAlive=False, Platform="Toaster", Comment="hot")
    one, two = list_devices(settings, PI3_TARGET)
    assert (one.name, one.state, one.holder, one.platform, one.fits) == (
        f"{ONE} (pi-0)",
        "locked",
        "ada (bench)",
        PI3,
        True,
    )
    assert (two.state, two.holder, two.fits, two.comment) == ("not alive", "", False, "hot")
