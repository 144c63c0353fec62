"""The cluster service's client."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.cluster import client as cluster
from ellopt.devices.cluster.client import ClusterClient, Machine
from tests.support.devices.cluster import API_KEY, ONE, TWO, ClusterService
from tests.support.patience import SOON


@pytest.fixture
def client(service: ClusterService) -> ClusterClient:
    return ClusterClient(service.url, API_KEY)


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
    service.before = lambda method, path: (release.wait(100), (200, b"[]"))[1]  # type: ignore[func-returns-value]
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="cluster"):
        client.machines()
    assert time.monotonic() - started < SOON
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
