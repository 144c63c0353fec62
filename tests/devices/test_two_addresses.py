"""A machine that a cluster service or a user names by two addresses: it is one board, whoever uses it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import find_target
from tests.support.devices.bundles import leftovers, script_bundle, short_directory
from tests.support.devices.cluster import API_KEY, ClusterService
from tests.support.devices.openssh import Sshd, openssh_server
from tests.support.devices.pace import QUICK
from tests.support.processes import processes_in

HOST = find_target("host")
ADDRESSES = ["127.0.0.1", "127.0.0.2"]


@pytest.fixture
def sshd() -> Iterator[Sshd]:
    with short_directory() as root, openssh_server(root) as server:
        yield server
        assert leftovers(root / "board") == []
        assert processes_in(root) == []
        assert not list((root / "state").rglob("*.json"))


@pytest.fixture(params=["addresses", "cluster"])
def settings(request: pytest.FixtureRequest, sshd: Sshd) -> Iterator[DeviceSettings]:
    """Both addresses, as a user names them and as a service lists them."""
    if request.param == "addresses":
        yield sshd.settings(ipaddresses=tuple(f"{address}:{sshd.port}" for address in ADDRESSES), board_timeout=20.0)
        return
    with ClusterService(ADDRESSES) as service:
        yield sshd.settings(
            ipaddresses=(),
            cluster=service.url,
            apikey=API_KEY,
            ssh_port=sshd.port,
            platform_regex=".",
            board_timeout=20.0,
        )
        assert service.locked == []
        assert service.problems == []


def run(device: Device, bundle: Bundle, *arguments: str) -> Execution:
    return device.run(bundle, Invocation(("./runner", *arguments), {"job": b"job"}, ("result",)), Deadline.after(30))


def test_what_runs_at_one_address_outlives_the_opening_of_the_other(
    sshd: Sshd, settings: DeviceSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = script_bundle(tmp_path / "bundle")
    with open_pool(settings, HOST, QUICK) as pool, pool.lease(Deadline.after(30)) as first:
        assert run(first, bundle, "answer", "before").exit_code == 0
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(run, first, bundle, "wait")
            while not processes_in(sshd.root / "board"):
                assert not running.done(), running.result()
            with pytest.raises(DeadlineExceeded), pool.lease(Deadline.after(2)):
                pass
            assert processes_in(sshd.root / "board"), "it still runs"
            assert not running.done()
            for go in (sshd.root / "board").glob("*/run-*"):
                (go / "go").touch()
            assert running.result(timeout=30).exit_code == 0
        assert run(first, bundle, "answer", "after").outputs == {"result": b"jobweights"}
    assert "is the same machine as board" in caplog.text


def test_processes_that_use_one_address_each_leave_each_other_alone(
    sshd: Sshd, settings: DeviceSettings, tmp_path: Path
) -> None:
    """Two pools are what two processes have: sessions of their own."""
    bundle = script_bundle(tmp_path / "bundle")
    mine = sshd.settings(ipaddresses=(f"{ADDRESSES[0]}:{sshd.port}",))
    with open_pool(mine, HOST, QUICK) as pool, pool.lease(Deadline.after(30)) as first:
        assert run(first, bundle, "answer", "before").exit_code == 0
        with open_pool(settings, HOST, QUICK) as others, others.lease(Deadline.after(30)) as second:
            assert run(second, bundle, "answer", "both").exit_code == 0
        assert run(first, bundle, "answer", "after").outputs == {"result": b"jobweights"}
