"""A real OpenSSH server of our own on loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ellopt.devices.settings import DeviceSettings
from tests.support.processes import children_of, free_port, wait_until_listening


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
