"""The byte stream to a server: a TCP connection, a ProxyCommand, or a channel through other machines."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.ssh.route import Route

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_SECONDS = 3.0


def connect_tcp(name: str, route: Route, timeout: float) -> socket.socket:
    """Raises ConfigurationError for a host that nobody knows, OSError if the connection fails."""
    try:
        sock = socket.create_connection((route.host, route.port), timeout)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise InfrastructureError(
                f"{name}: the name server does not answer for {route.host!r}; is this machine on the network?"
            ) from None
        raise _unknown_host(name, route) from None
    except UnicodeError:  # not even the form of a name
        raise _unknown_host(name, route) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _unknown_host(name: str, route: Route) -> ConfigurationError:
    where = (
        "~/.ssh/config gives it this HostName, which"
        if route.configured
        else "neither ~/.ssh/config nor /etc/hosts nor DNS"
    )
    verb = "is unknown" if route.configured else "knows it"
    return ConfigurationError(
        f"{name}: there is no host {route.host!r} (Name or service not known): {where} {verb}; check the spelling, or "
        "give the board's IP address"
    )


def what_answers(route: Route) -> str:
    """What a server says that does not speak SSH, in short; empty if that cannot be told."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        with socket.create_connection((route.host, route.port), _LOOK_SECONDS) as sock:
            sock.sendall(b"SSH-2.0-ellopt\r\n\r\n")
            said = sock.recv(200)
        if not said.startswith(b"SSH-"):
            return " ".join(said.decode("ascii").split())[:100]
    return ""


def start_proxy(name: str, command: str) -> tuple[socket.socket, Callable[[], None]]:
    """Run a ProxyCommand as ``ssh`` does, in the shell; its end of the connection, and how to end it.

    Raises ConfigurationError if it cannot be started.
    """
    if sys.platform == "win32":
        raise ConfigurationError(f"{name}: ProxyCommand of ~/.ssh/config is not supported on Windows; use ProxyJump")
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError as error:
        ours.close()
        raise ConfigurationError(f"{name}: ProxyCommand cannot be run: {error}") from None
    finally:
        theirs.close()

    def end() -> None:
        ours.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    return ours, end


def step_seconds(deadline: Deadline, longest: float = 30.0) -> float:
    """How long one step of connecting may take."""
    return max(0.01, min(deadline.remaining, longest))
