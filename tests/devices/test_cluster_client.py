"""The cluster service's client, and the pool of boards that it locks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.devices.bundle import Invocation
from ellopt.devices.cluster import client as cluster
from ellopt.devices.cluster.client import ClusterClient, Machine
from ellopt.devices.cluster.source import ClusterSource
from ellopt.devices.open import list_devices, open_pool, release_mine
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.sessions import HeldLock, Session
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import TARGETS, find_target
from tests.support.devices.boards import PASSWORD, Board
from tests.support.devices.bundles import script_bundle
from tests.support.devices.cluster import API_KEY, PI3, ClusterService

PI3_TARGET = find_target("pi3")
ONE, TWO = "127.0.2.1", "127.0.2.2"
QUICK = Pace(first_rest=0.05, shortest_pause=0.02, longest_pause=0.1)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def service() -> Iterator[ClusterService]:
    with ClusterService([ONE, TWO]) as running:
        yield running


@pytest.fixture
def client(service: ClusterService) -> ClusterClient:
    return ClusterClient(service.url, API_KEY)


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


# --- the client -----------------------------------------------------------------------------------------------


def test_the_address_may_lack_its_last_slash(service: ClusterService) -> None:
    for url in (service.url, service.url.rstrip("/")):
        assert [machine.address for machine in ClusterClient(url, API_KEY).machines()] == [ONE, TWO]


def test_a_machine_may_lack_any_fact(service: ClusterService, client: ClusterClient) -> None:
    service.machines["127.0.2.9"] = {"IpAddress": "127.0.2.9"}
    machine = client.machine("127.0.2.9")
    assert machine == Machine("127.0.2.9")
    assert not machine.locked
    assert not machine.alive


def test_an_unknown_machine_is_none(client: ClusterClient) -> None:
    assert client.machine("127.0.2.77") is None
    assert not client.lock("127.0.2.77", "me", "task", "key")
    assert not client.free("127.0.2.77", "me", "key")


@given(st.dictionaries(st.sampled_from([
    "IpAddress", "HostName", "Platform", "OsName", "Command", "CurrentUserName", "LockKey", "LastHeartbeat", "IsAlive",
]), st.none() | st.booleans() | st.integers() | st.text() | st.floats() | st.lists(st.integers())))  # fmt: skip
def test_whatever_a_machine_says_is_read(data: dict[str, Any]) -> None:
    machine = Machine.from_json(data)
    assert machine.locked == (data.get("Command") == "Lock")


def test_aliveness_falls_back_on_the_last_heartbeat() -> None:
    now = time.time() * 1000
    assert Machine.from_json({"IpAddress": "x", "LastHeartbeat": now}).alive
    assert not Machine.from_json({"IpAddress": "x", "LastHeartbeat": now - 600_000}).alive
    assert not Machine.from_json({"IpAddress": "x", "LastHeartbeat": now, "IsAlive": False}).alive


def test_lock_and_free(service: ClusterService, client: ClusterClient) -> None:
    assert client.lock(ONE, "me", "task", "key-1")
    assert service.machines[ONE]["CurrentTaskName"] == "task"
    assert not client.lock(ONE, "you", "task", "key-2")
    assert client.holds(ONE, "key-1")
    assert not client.free(ONE, "me", "key-2"), "somebody else's lock is left alone"
    assert service.locked == [ONE]
    assert client.free(ONE, "me", "key-1")
    assert service.locked == []
    assert not client.free(ONE, "me", "key-1")


def test_a_lock_that_somebody_else_overwrote_is_not_believed(service: ClusterService, client: ClusterClient) -> None:
    def race(method: str, path: str) -> None:
        if path == "lock":
            service.machines[ONE].update(LockKey="theirs", CurrentUserName="them")

    service.after = race
    assert not client.lock(ONE, "me", "task", "mine")
    assert not client.free(ONE, "me", "mine")
    assert service.machines[ONE]["LockKey"] == "theirs"


def test_a_lock_whose_answer_was_lost_is_read_back(
    service: ClusterService, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TRIES", 1)
    original = service.answer

    def answer_and_drop(method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        status, content = original(method, path, query, body)
        return (500, b"") if path == "lock" else (status, content)

    monkeypatch.setattr(service, "answer", answer_and_drop)
    assert client.lock(ONE, "me", "task", "mine")


def test_a_wrong_key_is_the_users_to_mend(service: ClusterService) -> None:
    client = ClusterClient(service.url, "wrong-secret-key")
    with pytest.raises(ConfigurationError, match="--apikey") as caught:
        client.lock(ONE, "me", "task", "key")
    assert "wrong-secret-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"<html><body>Bad Request</body></html>", InfrastructureError),
        (200, b"<html>welcome to the hotel's network</html>", InfrastructureError),
        (200, b'{"error": "out of memory"}', InfrastructureError),
        (200, b'{"IpAddress": "no list"}', InfrastructureError),
        (200, b"", InfrastructureError),
        (500, b"", InfrastructureError),
        (404, b"not found", ConfigurationError),
        (401, b"", ConfigurationError),
        (302, b"", ConfigurationError),
    ],
)
def test_odd_answers(service: ClusterService, client: ClusterClient, status: int, body: bytes, kind: type) -> None:
    service.before = lambda method, path: (status, body)
    with pytest.raises(kind):
        client.machines()


def test_nulls_in_the_list_are_passed_over(service: ClusterService, client: ClusterClient) -> None:
    service.before = lambda method, path: (200, json.dumps([None, {"IpAddress": ONE}, 3, {"HostName": "x"}]).encode())
    assert [machine.address for machine in client.machines()] == [ONE]


def test_a_passing_fault_is_tried_again(service: ClusterService, client: ClusterClient) -> None:
    faults = [(503, b"busy"), (503, b"busy")]
    service.before = lambda method, path: faults.pop() if faults else None
    assert len(client.machines()) == 2


def test_a_service_that_hangs_is_given_up(
    service: ClusterService, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CALL_SECONDS", 0.5)
    release = threading.Event()
    service.before = lambda method, path: (release.wait(10), (200, b"[]"))[1]  # type: ignore[func-returns-value]
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="cluster"):
        client.machines()
    assert time.monotonic() - started < 3
    release.set()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://cluster.example/api", "--allow_insecure_cluster"),
        ("http://10.1.2.3:1337/api/", "--allow_insecure_cluster"),
        ("http://127.0.0.1.example/api", "--allow_insecure_cluster"),
        ("https://user:word@cluster.example/api", "password"),
        ("https://cluster.example/api?key=1", "query"),
        ("cluster.example/api", "address"),
        ("ftp://cluster.example/", "address"),
        ("http://127.0.0.1@evil.example/", "password"),
    ],
)
def test_addresses_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ClusterClient(url, API_KEY)


def test_addresses_that_are_not_refused() -> None:
    for url in ("http://127.0.0.1:1337/api", "http://localhost/api", "http://[::1]:1/", "https://cluster.example/api"):
        ClusterClient(url, API_KEY)
    ClusterClient("http://10.1.2.3/api", API_KEY, allow_insecure=True)


# --- the pool -------------------------------------------------------------------------------------------------


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


def test_a_lock_of_a_dead_process_that_somebody_took_over_is_left_alone(
    service: ClusterService, settings: DeviceSettings
) -> None:
    dead = Session(settings.state_directory)
    dead.add_lock(HeldLock(service.url, ONE, "old key", "ada"))
    dead.guard.release()
    service.machines[ONE].update(Command="Lock", CurrentUserName="ada", LockKey="new key")
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
    dead = Session(settings.state_directory)
    dead.add_lock(HeldLock(service.url, ONE, "key", "ada"))
    dead.guard.release()
    service.machines[ONE].update(Command="Lock", CurrentUserName="ada", LockKey="key")
    with pytest.raises(InfrastructureError, match=rf"could not release {ONE}: .*refuses the API key"):
        release_mine(replace(settings, apikey="another key"))
    assert service.locked == [ONE]
    assert release_mine(settings) == [ONE], "it stayed on record"


def test_a_dead_process_s_lock_that_cannot_be_freed_at_once_is_tried_again(
    service: ClusterService, settings: DeviceSettings
) -> None:
    dead = Session(settings.state_directory)
    dead.add_lock(HeldLock(service.url, ONE, "key", "ada"))
    dead.guard.release()
    service.machines[ONE].update(Command="Lock", CurrentUserName="ada", LockKey="key")
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
