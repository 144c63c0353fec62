"""Boards are found by what OpenSSH knows of them: aliases, machines between, host keys, also when they move."""

from __future__ import annotations

import shlex
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded, InfrastructureError
from ellopt.devices.base import DevicePool
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from tests.support.devices.bundles import leftovers, script_bundle
from tests.support.devices.openssh import Sshd
from tests.support.devices.pace import QUICK
from tests.support.devices.ssh_runs import HOST, configure, lease_and_use, refused, use
from tests.support.devices.ssh_setups import SetUp, make_key, program, server
from tests.support.processes import free_port

# --- ~/.ssh/config --------------------------------------------------------------------------------------------


def test_an_alias_of_the_configuration(root: Path) -> None:
    with server(root) as running:
        (root / "client/.ssh/more").write_text(f"Host bench-*\n  User root\n  IdentityFile {running.user_key}\n")
        configure(
            root,
            f'Include more\nMatch exec "false"\n  Port 1\nHost bench-7\n  HostName 127.0.0.1\n  Port {running.port}\n'
            "Host *\n  User nobody\n",
        )
        plain = running.settings(ipaddresses=("bench-7",), username=None, key_files=())
        lease_and_use(plain, root)
        lease_and_use(replace(plain, ipaddresses=("root@bench-7",)), root)
        lease_and_use(replace(plain, ipaddresses=(f"root@bench-7:{running.port}",)), root)
        refused(replace(plain, ipaddresses=("somebody@bench-7",)), "user somebody")
        refused(replace(plain, username="pi"), "user pi")


def test_an_alias_that_nobody_knows(root: Path) -> None:
    with server(root) as running:
        message = refused(running.settings(ipaddresses=("bench-8",)), "bench-8", "Name or service not known")
        assert "~/.ssh/config" in message
        configure(root, "Host bench-8\n  HostName no-such-board.invalid\n")
        refused(running.settings(ipaddresses=("bench-8",)), "no-such-board.invalid", "HostName")


@pytest.mark.parametrize("how", ["ProxyJump jump", "ProxyCommand busybox nc %h %p"])
def test_a_board_behind_another_machine(root: Path, how: str) -> None:
    program("busybox")
    (root / "jump").mkdir()
    with server(root) as running, server(root / "jump") as jump:
        known = running.known_hosts.read_text() + jump.known_hosts.read_text()
        running.known_hosts.write_text(known)
        configure(
            root,
            f"Host board\n  HostName 127.0.0.1\n  Port {running.port}\n  {how}\n"
            f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  User root\n  IdentityFile {jump.user_key}\n",
        )
        settings = running.settings(ipaddresses=("board",))
        lease_and_use(settings, root)
        if "Jump" in how:
            running.known_hosts.write_text(known.splitlines()[0] + "\n")
            refused(settings, "jump", "host key is not known")


# --- host keys ------------------------------------------------------------------------------------------------


def test_a_stale_key_of_another_kind_is_no_changed_host(root: Path) -> None:
    stale = Path(f"{make_key(root / 'stale', 'ecdsa')}.pub").read_text().split()[:2]
    with server(root, SetUp(host_keys=("rsa", "ecdsa", "ed25519"))) as running:
        good = running.known_hosts.read_text()
        name = good.split()[0]
        for content in (f"{name} {' '.join(stale)}\n{good}", f"{good}{name} {' '.join(stale)}\n"):
            running.known_hosts.write_text(content)
            lease_and_use(running.settings(), root)
        running.known_hosts.write_text(f"{name} {' '.join(stale)}\n")
        refused(running.settings(), "has changed", "known_hosts:1")
        running.known_hosts.write_text(f"{good}@revoked * {good.split(' ', 1)[1]}")
        refused(running.settings(), "revoked", "known_hosts:2")


# --- boards that move -----------------------------------------------------------------------------------------


def moving_board(root: Path, running: Sshd) -> DeviceSettings:
    configure(root, f"Host moving\n  HostName 127.0.0.1\n  Port {running.port}\n")
    return running.settings(ipaddresses=("moving",), board_timeout=20.0)


def test_a_board_that_comes_back_elsewhere_is_used_again(root: Path) -> None:
    with server(root) as running:
        settings = moving_board(root, running)
        pool_context = open_pool(settings, HOST, QUICK)
        pool = pool_context.__enter__()
        with pool.lease(Deadline.after(30)) as device:
            use(device, root)
        before = running.known_hosts.read_text()
    with server(root) as running:  # the same keys, another port, which nobody has told of
        running.known_hosts.write_text(before)
        configure(root, "Host moving\n  HostName no-such-board.invalid\n")
        with pytest.raises(DeadlineExceeded), pool.lease(Deadline.after(0.5)):
            pass
        configure(root, f"Host moving\n  HostName 127.0.0.1\n  Port {running.port}\n")
        with pool.lease(Deadline.after(30)) as device:
            use(device, root)
        pool_context.__exit__(None, None, None)
    assert leftovers(root / "board") == []
    assert not list((root / "state").rglob("*.json"))
    with server(root) as running:
        running.known_hosts.write_text(before)
        refused(running.settings(), "known of another name", "--accept_new_host_keys")


def run_once(pool: DevicePool, bundle: Bundle) -> None:
    with pool.lease(Deadline.after(30)) as device:
        device.run(bundle, Invocation(("./runner", "x")), Deadline.after(25))


def test_a_board_that_reboots_in_the_middle_is_used_again(root: Path) -> None:
    set_up = SetUp(port=free_port())
    bundle = script_bundle(root / "waiting")
    (bundle.path / "runner").write_text(f"#!/bin/sh\ntouch {shlex.quote(str(root))}/started\nexec sleep 30\n")
    bundle = replace(bundle, digest="d" * 32)
    up = ExitStack()

    def reboot() -> None:
        end = Deadline.after(20)
        while not (root / "started").exists() and not end.passed:
            time.sleep(0.02)
        up.close()

    with up:
        settings = replace(up.enter_context(server(root, set_up)).settings(), board_timeout=30.0)
        with open_pool(settings, HOST, QUICK) as pool:
            thread = threading.Thread(target=reboot)
            thread.start()
            with pytest.raises(InfrastructureError, match="connection lost"):
                run_once(pool, bundle)
            thread.join()
            with server(root, set_up), pool.lease(Deadline.after(30)) as device:
                use(device, root)
    assert (root / "started").exists()


def test_a_board_under_two_names_is_not_used_twice_at_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with server(root) as running:
        moving_board(root, running)
        both = running.settings(ipaddresses=("moving", f"127.0.0.1:{running.port}"), board_timeout=20.0)
        with open_pool(both, HOST, QUICK) as pool, pool.lease(Deadline.after(30)) as device:
            with pytest.raises(DeadlineExceeded), pool.lease(Deadline.after(3.0)):
                pass
            use(device, root)
    assert "is the same machine as board" in caplog.text
    assert leftovers(root / "board") == []
