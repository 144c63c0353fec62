"""Real SSH servers in odd set-ups: dropbear, login shells of all kinds, folders that cannot execute, SSH agents.

A server that needs another user database runs in a mount namespace of its own, so that nothing of this machine changes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.devices.openssh import Sshd
from tests.support.processes import children_of, free_port, wait_until_listening


def program(name: str, package: str = "") -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if not found:
        pytest.skip(f"no {name} here (Debian package {package or name})")
    return found


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """An SSH key pair at ``path`` and ``path``.pub."""
    command = [program("ssh-keygen", "openssh-client"), "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@dataclass(frozen=True)
class SetUp:
    """How a server differs from the usual. ``shell``: the user's login shell. ``options``: lines of sshd_config.
    ``noexec``: a folder beneath the root that is mounted so. ``host_keys``: kinds, each made anew where missing."""

    shell: str = ""
    options: str = ""
    noexec: str = ""
    host_keys: tuple[str, ...] = ("ed25519",)
    port: int = 0


@contextlib.contextmanager
def server(root: Path, set_up: SetUp | None = None, dropbear: bool = False) -> Iterator[Sshd]:
    """An OpenSSH server, or dropbear, that lets root in with ``root/user_key``. $TMPDIR is ``root/board`` (OpenSSH),
    $HOME ``root/home``. May be started again with the same ``root``: it keeps its keys."""
    set_up = set_up or SetUp()
    if os.geteuid() != 0:
        pytest.skip("needs root, for a user database of its own")
    for folder in ("board", "home", "home/.ssh"):
        (root / folder).mkdir(mode=0o700, exist_ok=True)
    user_key = root / "user_key"
    if not user_key.exists():
        make_key(user_key)
    authorized = root / "home/.ssh/authorized_keys"
    if not authorized.exists():
        authorized.write_text((root / "user_key.pub").read_text())
        authorized.chmod(0o600)
    keys = [root / f"host_{kind}" for kind in set_up.host_keys]
    for key, kind in zip(keys, set_up.host_keys, strict=True):
        if not key.exists():
            make_key(key, kind)
    shell = set_up.shell or "/bin/bash"
    (root / "passwd").write_text(f"root:x:0:0::{root}/home:{shell}\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n")
    (root / "shells").write_text(f"/bin/sh\n{shell}\n")
    port = set_up.port or free_port()
    if dropbear:
        converted = [root / f"dropbear_{kind}" for kind in set_up.host_keys]
        for key, target in zip(keys, converted, strict=True):
            convert = [program("dropbearconvert", "dropbear-bin"), "openssh", "dropbear", str(key), str(target)]
            subprocess.run(convert, check=True, capture_output=True)
        command = [program("dropbear", "dropbear-bin"), "-F", "-E", "-s", "-p", f"127.0.0.1:{port}", "-P", "/dev/null"]
        command += [word for key in converted for word in ("-r", str(key))]
    else:
        config = root / "sshd_config"
        config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n"
            + "".join(f"HostKey {key}\n" for key in keys)
            + f"AuthorizedKeysFile {authorized}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin prohibit-password\nSetEnv TMPDIR={root}/board\nLogLevel ERROR\n{set_up.options}\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        command = [program("sshd", "openssh-server"), "-D", "-e", "-f", str(config)]
    mounts = [f"mount --bind {root}/{name} /etc/{name}" for name in ("passwd", "shells")]
    if set_up.noexec:
        (root / set_up.noexec).mkdir(exist_ok=True)
        mounts.append(f"mount -t tmpfs -o noexec,size=1m none {root}/{set_up.noexec}")
    script = " && ".join([*mounts, f"exec {shlex.join(command)}"])
    unshare = program("unshare", "util-linux")
    if subprocess.run([unshare, "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not allowed here (in a container: --cap-add SYS_ADMIN)")
    with (root / "server.log").open("ab") as log:
        process = subprocess.Popen([unshare, "-m", "sh", "-c", script], stderr=log, start_new_session=True)
    try:
        wait_until_listening("127.0.0.1", port)
        known_hosts = root / "known_hosts"
        kind, blob = Path(f"{keys[0]}.pub").read_text().split()[:2]
        known_hosts.write_text(f"[127.0.0.1]:{port} {kind} {blob}\n")
        yield Sshd("127.0.0.1", port, root, root / "home", "root", user_key, known_hosts)
    finally:
        for pid in [*children_of(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def ssh_agent(directory: Path, keys: Sequence[Path]) -> Iterator[str]:
    """An SSH agent that holds ``keys`` (without passphrases); the path of its socket."""
    socket = directory / "agent.sock"
    command = [program("ssh-agent", "openssh-client"), "-D", "-a", str(socket)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        add = [program("ssh-add", "openssh-client"), "-q", *map(str, keys)]
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        for _ in range(200):
            if socket.exists() and subprocess.run(add, env=environment, capture_output=True).returncode == 0:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        else:
            raise AssertionError("the agent did not start")
        yield str(socket)
    finally:
        process.kill()
        process.wait()
