"""Boards as people have them: real servers, login shells, keys and folders, and what goes wrong with them for good."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ellopt.app.doctor import device_findings
from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded
from ellopt.devices.bundle import Invocation
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from tests.support.devices.bundles import leftovers, script_bundle
from tests.support.devices.pace import QUICK
from tests.support.devices.ssh_runs import HOST, configure, lease_and_use, refused
from tests.support.devices.ssh_setups import SetUp, make_key, program, server, ssh_agent

ODD = 'it\'s "odd"! `x` $HOME \\q %s\ttab\nnew line é 漢 !! $(exit 3)'


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
