"""Parts that the device tests share: small bundles, a real OpenSSH server, pure-Python boards."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ellopt.devices.bundle import Bundle
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import Target, find_target

# A stand-in for a bundle's runner that every test device can run: a shell script.
# Its first argument says what to do.
RUNNER = """#!/bin/sh
case $1 in
  answer) cat job data > result; echo "out $2"; echo "err $2" >&2; exit "${3:-0}" ;;
  hang) echo started > result; sleep 1000 & sleep 1000 ;;
  wait) until [ -e go ]; do sleep 0.1; done; cat job data > result ;;
  crash) kill -SEGV $$ ;;
  ignore) trap '' TERM INT HUP; while :; do sleep 1; done ;;
  stray) sleep 1000 & echo $! > result ;;
  pwd) pwd > result; ls -a > listing ;;
esac
"""


def script_bundle(directory: Path, target: Target | None = None, data: bytes = b"weights") -> Bundle:
    """A bundle whose runner is ``RUNNER``."""
    directory.mkdir(parents=True, exist_ok=True)
    runner = directory / "runner"
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    (directory / "data").write_bytes(data)
    digest = hashlib.sha256(RUNNER.encode() + data).hexdigest()[:32]
    return Bundle(directory, digest, ("runner", "data"), "test", target or find_target("host"), {})


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(host: str, port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {host}:{port}")


def processes_in(directory: Path) -> list[int]:
    """The processes that work in or beneath ``directory``, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if str(directory) in os.readlink(entry / "cwd"):
                    found.append(int(entry.name))
    return found


def children_of(parent: int) -> list[int]:
    """The processes that ``parent`` started, and those that they started, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


def leftovers(directory: Path) -> list[str]:
    """What ellopt left on a board whose files are in ``directory``."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("ellopt-*"))


@dataclass(frozen=True)
class Sshd:
    """A running OpenSSH server."""

    host: str
    port: int
    root: Path
    home: Path
    user: str
    user_key: Path
    known_hosts: Path

    def settings(self, **changes: object) -> DeviceSettings:
        values: dict[str, object] = {
            "ipaddresses": (f"{self.host}:{self.port}",),
            "username": self.user,
            "key_files": (self.user_key,),
            "known_hosts": self.known_hosts,
            "state_directory": self.root / "state",
            "board_timeout": 5.0,
        }
        return DeviceSettings(**{**values, **changes})  # type: ignore[arg-type]


@contextlib.contextmanager
def openssh_server(root: Path) -> Iterator[Sshd]:
    """An OpenSSH server of our own: unprivileged in all it does, on loopback, with its own host and user keys. It is
    also at 127.0.0.2, where Linux has that.

    The board's $TMPDIR is ``root/board``.
    """
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    keygen = shutil.which("ssh-keygen")
    if not program or not keygen:
        pytest.skip("no OpenSSH server here (Debian package openssh-server)")
    for folder in ("board", "home"):
        (root / folder).mkdir(mode=0o700)
    for name in ("host_key", "user_key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True)
    (root / "authorized_keys").write_text((root / "user_key.pub").read_text())
    (root / "authorized_keys").chmod(0o600)
    port = free_port()
    config = root / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nListenAddress 127.0.0.2\n"
        f"HostKey {root}/host_key\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {root}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv TMPDIR={root}/board HOME={root}/home\nMaxStartups 100\nMaxSessions 100\nLogLevel ERROR\n"
    )
    with contextlib.suppress(OSError):  # where sshd separates its privileges it wants this directory
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program, "-D", "-E", str(root / "sshd.log"), "-f", str(config)], start_new_session=True)
    try:
        wait_until_listening("127.0.0.1", port)
        kind, key = (root / "host_key.pub").read_text().split()[:2]
        known_hosts = root / "known_hosts"
        known_hosts.write_text("".join(f"[127.0.0.{n}]:{port} {kind} {key}\n" for n in (1, 2)))
        yield Sshd("127.0.0.1", port, root, root / "home", getpass.getuser(), root / "user_key", known_hosts)
    finally:
        for pid in [*children_of(server.pid), server.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.wait()


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A temporary directory, also where pytest's own would have too long a name."""
    with tempfile.TemporaryDirectory(prefix="boards-") as name:
        yield Path(name).resolve()
