"""Boards as people have them: real servers, login shells and agents, and what goes wrong with them for good."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ellopt.app.doctor import device_findings
from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.devices.base import Device, DevicePool
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.devices.open import open_pool
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import find_target
from tests.support.devices.bundles import leftovers, script_bundle, short_directory
from tests.support.devices.openssh import Sshd
from tests.support.devices.ssh_setups import SetUp, make_key, program, server, ssh_agent
from tests.support.processes import free_port

HOST = find_target("host")
QUICK = Pace(first_rest=0.05, shortest_pause=0.02, longest_pause=0.1)
ODD = 'it\'s "odd"! `x` $HOME \\q %s\ttab\nnew line é 漢 !! $(exit 3)'


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a server, and a home without SSH agent for the client."""
    if (zig := Path("~/.cache/zig").expanduser()).is_dir() and "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(zig))  # the C library is built once
    with short_directory() as directory:
        (directory / "client" / ".ssh").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(directory / "client"))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield directory


def configure(root: Path, text: str) -> None:
    (root / "client" / ".ssh" / "config").write_text(text)


def use(device: Device, root: Path, word: str = "x") -> None:
    """One run, up and back."""
    bundle = script_bundle(root / "bundle")
    invocation = Invocation(("./runner", "answer", word), {"job": b"job \0\xff "}, ("result",))
    execution = device.run(bundle, invocation, Deadline.after(30))
    assert execution.exit_code == 0
    assert execution.stdout == f"out {word}\n"
    assert execution.outputs["result"] == b"job \0\xff weights"


def lease_and_use(settings: DeviceSettings, root: Path, word: str = "x", times: int = 1) -> None:
    with open_pool(settings, HOST, QUICK) as pool, pool.lease(Deadline.after(30)) as device:
        for _ in range(times):
            use(device, root, word)
    assert pool.report().retries == 0
    assert leftovers(root / "board") == []


def refused(settings: DeviceSettings, *words: str) -> str:
    """What a run says of a board that will never do: at once, however long it would wait for one that may come."""
    patient = replace(settings, board_timeout=600.0)
    started = time.monotonic()
    with (
        open_pool(patient, HOST, QUICK) as pool,
        pytest.raises(ConfigurationError) as caught,
        pool.lease(Deadline.after(300)),
    ):
        pass
    assert time.monotonic() - started < 60
    assert pool.report().retries == 1, "tried once"
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


# --- servers and shells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bash", "dash", "ash", "tcsh", "csh", "fish"])
def test_whatever_the_login_shell_is_and_says(root: Path, name: str) -> None:
    greeting = "echo 'Welcome to the board'\necho ellopt-\necho done\n"
    if name == "ash":
        (root / "ash").symlink_to(program("busybox"))
        shell = str(root / "ash")
    else:
        shell = program(name)
    (root / "home" / ".config" / "fish").mkdir(parents=True)
    for file in (".bashrc", ".tcshrc", ".cshrc", ".config/fish/config.fish"):
        (root / "home" / file).write_text(greeting)
    with server(root, SetUp(shell=shell)) as running:
        lease_and_use(running.settings(), root, ODD)


@pytest.mark.parametrize("times", [12])
def test_dropbear(root: Path, times: int) -> None:
    with server(root, dropbear=True) as running:
        lease_and_use(running.settings(), root, times=times)  # five channels and more a time


def test_one_session_at_a_time(root: Path) -> None:
    with server(root, SetUp(options="MaxSessions 1")) as running:
        lease_and_use(running.settings(), root, times=6)


def test_a_login_shell_that_runs_nothing_is_named(root: Path) -> None:
    with server(root, SetUp(shell=program("nologin", "login"))) as running:
        refused(running.settings(), "login shell does not run commands", "not available")


def test_a_server_that_is_none_is_named(root: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        settings = DeviceSettings(
            ipaddresses=(f"127.0.0.1:{other.server_port}",), state_directory=root / "state", known_hosts=root / "none"
        )
        refused(settings, "no SSH server", "HTML", "--ssh_port")
        other.shutdown()


# --- keys -----------------------------------------------------------------------------------------------------


def test_too_many_keys_in_the_agent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [make_key(root / f"key{i}") for i in range(8)]
    with server(root) as running, ssh_agent(root, [*keys, running.user_key]) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        agent_only = running.settings(key_files=())
        refused(
            agent_only, "too many authentication failures", "the SSH agent (6 keys)", "--key_file", "IdentitiesOnly"
        )
        private = running.user_key.rename(root / "away")
        lease_and_use(running.settings(key_files=(Path(f"{running.user_key}.pub"),)), root)
        configure(root, f"Host 127.*\n IdentityFile {running.user_key}.pub\n IdentitiesOnly yes\n")
        lease_and_use(agent_only, root)
        private.rename(running.user_key)


def test_an_encrypted_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(root) as running:
        locked = make_key(root / "locked", passphrase="secret words")
        with (root / "home/.ssh/authorized_keys").open("a") as file:
            file.write((root / "locked.pub").read_text())
        settings = running.settings(key_files=(locked,))
        refused(settings, "locked", "encrypted", f"ssh-add {locked}")
        opened = root / "opened"
        opened.write_bytes(locked.read_bytes())
        opened.chmod(0o600)
        command = [
            program("ssh-keygen", "openssh-client"),
            "-q",
            "-p",
            "-P",
            "secret words",
            "-N",
            "",
            "-f",
            str(opened),
        ]
        subprocess.run(command, check=True, capture_output=True)
        with ssh_agent(root, [opened]) as socket:
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
            lease_and_use(settings, root)
            (root / "locked.pub").unlink()  # what the file itself tells of its public half will do
            lease_and_use(settings, root)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("no private key",)),
        (b"hello\n", ("no private key",)),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n", ()),
        (b"-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END RSA PRIVATE KEY-----\n", ()),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\n", ("PuTTY", "puttygen")),
        (b"\xff\xfe\0\0", ()),
    ],
)
def test_a_file_that_is_no_key(root: Path, content: bytes, words: tuple[str, ...]) -> None:
    with server(root) as running:
        (root / "odd_key").write_bytes(content)
        refused(running.settings(key_files=(root / "odd_key",)), "--key_file", "odd_key", *words)
        public = Path(f"{make_key(root / 'other')}.pub")
        (root / "other").unlink()
        refused(running.settings(key_files=(public,)), "public half")


def test_a_key_that_the_board_does_not_know(root: Path) -> None:
    with server(root) as running:
        message = refused(running.settings(key_files=(make_key(root / "other"),)), "user root", "other", "ssh-copy-id")
        assert "password" not in message, "which it does not take"


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


# --- folders --------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_execute(root: Path) -> None:
    with server(root, SetUp(noexec="flash")) as running:
        settings = running.settings(remote_dir=str(root / "flash"))
        refused(settings, f"{root}/flash", "noexec", "--remote_dir")
        chosen = root / "board" / "a folder" / "of mine"
        lease_and_use(replace(settings, remote_dir=str(chosen)), root)
        assert chosen.is_dir()
        lease_and_use(replace(settings, remote_dir="~/tmp"), root)
        assert (root / "home" / "tmp").is_dir()


def test_the_doctor_runs_what_a_measurement_runs(root: Path) -> None:
    with server(root, SetUp(noexec="flash")) as running:
        good, *others = device_findings(running.settings(), HOST)
        assert (good.state, others) == ("ok", [])
        assert "ran" in good.detail
        bad, summary = device_findings(running.settings(remote_dir=str(root / "flash")), HOST)
        assert (bad.state, summary.state) == ("warning", "failed")
        assert "--remote_dir" in bad.detail
    assert leftovers(root / "board") == []


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


# --- frequency ------------------------------------------------------------------------------------------------


def test_the_governor_is_set_for_the_run_and_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    governors = [root / "cpus" / f"cpu{i}" / "cpufreq" / "scaling_governor" for i in range(4)]
    for governor in governors:
        governor.parent.mkdir(parents=True)
        governor.write_text("ondemand\n")
    monkeypatch.setattr("ellopt.devices.ssh.remote.CPUFREQ", str(root / "cpus"))
    bundle = script_bundle(root / "spy")
    spy = (
        f"#!/bin/sh\ncat {shlex.quote(str(root))}/cpus/*/cpufreq/scaling_governor > result; [ $1 = hang ] && sleep 99\n"
    )
    (bundle.path / "runner").write_text(f"{spy}exit 0\n")
    bundle = replace(bundle, digest="e" * 32)
    with server(root) as running:
        for fix, seen in ((True, b"performance\n" * 4), (False, b"ondemand\n" * 4)):
            settings = running.settings(fix_frequency=fix)
            with open_pool(settings, HOST, QUICK) as pool, pool.lease(Deadline.after(30)) as device:
                execution = device.run(bundle, Invocation(("./runner", "x"), {}, ("result",)), Deadline.after(30))
                assert execution.outputs["result"] == seen
                assert [governor.read_text() for governor in governors] == ["ondemand\n"] * 4
                assert ("performance" in str(device.state().governor)) == fix
                if fix:
                    with pytest.raises(DeadlineExceeded):
                        device.run(bundle, Invocation(("./runner", "hang")), Deadline.after(1.5))
                    end = Deadline.after(10)
                    while [g.read_text() for g in governors] != ["ondemand\n"] * 4 and not end.passed:
                        time.sleep(0.05)
                    assert [governor.read_text() for governor in governors] == ["ondemand\n"] * 4


def test_a_governor_that_may_not_be_set_is_said_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = root / "cpus" / "cpu0" / "cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_governor").symlink_to("/proc/version")
    monkeypatch.setattr("ellopt.devices.ssh.remote.CPUFREQ", str(root / "cpus"))
    with server(root) as running:
        lease_and_use(running.settings(fix_frequency=True), root, times=2)
    assert caplog.text.count("--fix_frequency has no effect") == 1
