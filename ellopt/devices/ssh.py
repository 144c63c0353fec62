"""SSH connections to boards: verified host keys, and commands that never outlast their deadline."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import paramiko

from ellopt.deadline import Deadline
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.errors import ConfigurationError, InfrastructureError

_LOG = logging.getLogger(__name__)
_LOG_CHANNEL = f"{__name__}.paramiko"
_CHUNK = 32768
_SYSTEM_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("~/.ssh/known_hosts"))
_CONNECTION_ERRORS = (paramiko.SSHException, EOFError, OSError, ValueError, IndexError, struct.error)
_KNOWN_HOSTS_MUTEX = threading.Lock()


class HostKeyError(ConfigurationError):
    """A board's host key is unknown or not the one that is known. Never tried again in a run."""


class LoginError(ConfigurationError):
    """A board refused the user, or every key and password that there is."""


@dataclass(frozen=True)
class Answer:
    """What a command on a board wrote."""

    stdout: bytes
    stderr: str


def known_hosts_path() -> Path:
    """ellopt's own file of host keys that were accepted on first use."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "ellopt" / "known_hosts"


class SshConnection:
    """A connection to one board. Commands run one at a time; ``close`` may be called from any thread."""

    def __init__(self, address: Address, settings: DeviceSettings, deadline: Deadline) -> None:
        """Connect and log in. Raises HostKeyError, LoginError or InfrastructureError."""
        self.address = address
        own_file = settings.known_hosts or known_hosts_path()
        self._client = paramiko.SSHClient()
        self._client.set_log_channel(_LOG_CHANNEL)
        logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)  # what matters of its errors, ours say
        self._client.set_missing_host_key_policy(
            _AcceptNew(own_file) if settings.accept_new_host_keys else _RefuseUnknown()
        )
        try:
            _load_host_keys(self._client, own_file)
            self._connect(settings, deadline, own_file)
        except BaseException:
            self._client.close()
            raise

    def _connect(self, settings: DeviceSettings, deadline: Deadline, own_file: Path) -> None:
        limit = min(deadline.remaining, 30.0)
        for file in settings.key_files:
            if not file.is_file():
                raise ConfigurationError(f"--key_file: there is no file {file}")
        only_given = bool(settings.password or settings.key_files)
        try:
            sock = socket.create_connection((self.address.host, self.address.port), limit)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._client.connect(
                self.address.host,
                self.address.port,
                settings.username,
                settings.password,
                key_filename=_key_files(settings),
                allow_agent=not only_given,
                look_for_keys=not only_given,
                timeout=limit,
                banner_timeout=limit,
                auth_timeout=limit,
                channel_timeout=limit,
                sock=sock,
            )
        except paramiko.BadHostKeyException as error:
            raise HostKeyError(
                f"board {self.address}: its host key has changed: it shows {_describe(error.key)}, known is "
                f"{_describe(error.expected_key)}. Another machine may pretend to be the board, so ellopt does not "
                f"connect. If the board was set up anew, remove the old key from ~/.ssh/known_hosts or {own_file}"
            ) from None
        except paramiko.AuthenticationException as error:
            if "timeout" in str(error) or "EOF" in str(error):
                raise InfrastructureError(f"board {self.address}: the connection was lost during log-in") from None
            raise LoginError(_login_message(self.address, settings, error)) from None
        except _CONNECTION_ERRORS as error:
            if "No authentication methods" in str(error):
                raise LoginError(_login_message(self.address, settings, error)) from None
            raise InfrastructureError(f"board {self.address}: cannot connect: {_reason(error)}") from None

    def execute(self, command: str, deadline: Deadline, data: bytes = b"", limit: int = 1 << 20) -> Answer:
        """Run ``command`` with ``data`` as standard input until it ends, and return what it wrote.

        Raises InfrastructureError if the connection fails, more than ``limit`` bytes come back or the deadline
        passes: these are the board's own small commands, not candidates.
        """
        with self.channel(command, deadline) as channel:
            view = memoryview(data)
            try:
                while view:
                    channel.settimeout(_within(deadline, f"board {self.address}: sending"))
                    view = view[channel.send(view[:_CHUNK].tobytes()) :]
                channel.shutdown_write()
            except OSError as error:
                # The command has ended early; what it said about it matters more.
                if not self.alive:
                    raise InfrastructureError(f"board {self.address}: connection lost: {_reason(error)}") from None
            stdout = self._read_all(channel.recv, channel, deadline, limit)
            stderr = self._read_all(channel.recv_stderr, channel, deadline, limit)
        return Answer(stdout, stderr.decode(errors="replace").strip())

    def _read_all(
        self, receive: Callable[[int], bytes], channel: paramiko.Channel, deadline: Deadline, limit: int
    ) -> bytes:
        received = bytearray()
        while True:
            channel.settimeout(_within(deadline, f"board {self.address}: receiving"))
            chunk = receive(_CHUNK)
            if not chunk:
                break
            received += chunk
            if len(received) > limit:
                raise InfrastructureError(f"board {self.address}: sent more than the {limit} bytes that it announced")
        if not self.alive:
            raise InfrastructureError(f"board {self.address}: connection lost")
        return bytes(received)

    @contextlib.contextmanager
    def channel(self, command: str, deadline: Deadline) -> Iterator[paramiko.Channel]:
        """A channel on which ``command`` was started. Errors of the connection become InfrastructureError."""
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise InfrastructureError(f"board {self.address}: not connected")
        try:
            channel = transport.open_session(timeout=_within(deadline, f"board {self.address}"))
            try:
                channel.settimeout(_within(deadline, f"board {self.address}"))
                channel.exec_command(command)
                yield channel
            finally:
                channel.close()
        except TimeoutError:
            raise InfrastructureError(f"board {self.address}: does not answer") from None
        except _CONNECTION_ERRORS as error:
            raise InfrastructureError(f"board {self.address}: connection lost: {_reason(error)}") from None

    @property
    def alive(self) -> bool:
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def close(self) -> None:
        self._client.close()


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise HostKeyError(
            f"board {hostname}: its host key is not known: {_describe(key)}. Compare it with the board's own "
            "(ssh-keygen -l on the board) and log in once with ssh, or give --accept_new_host_keys"
        )


class _AcceptNew(paramiko.MissingHostKeyPolicy):
    """Trust on first use: writes the key into ellopt's own file and holds every later connection to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        with _KNOWN_HOSTS_MUTEX:
            now_known = paramiko.HostKeys()
            if self._path.is_file():
                now_known.load(str(self._path))
            known = now_known.lookup(hostname)
            if known is not None:  # another connection of ours was faster
                expected = known.get(key.get_name()) or next(iter(known.values()))
                if expected != key:
                    raise paramiko.BadHostKeyException(hostname, key, expected)
                return
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(f"{hostname} {key.get_name()} {key.get_base64()}\n")
            except OSError as error:
                raise ConfigurationError(f"cannot remember host keys in {self._path}: {error}") from error
        _LOG.warning("accepted the new host key of board %s: %s", hostname, _describe(key))


def _load_host_keys(client: paramiko.SSHClient, own_file: Path) -> None:
    for path in _SYSTEM_KNOWN_HOSTS:
        with contextlib.suppress(FileNotFoundError, RuntimeError):  # RuntimeError: there is no home directory
            _load(client.load_system_host_keys, path.expanduser())
    with contextlib.suppress(FileNotFoundError), _KNOWN_HOSTS_MUTEX:
        _load(client.load_host_keys, own_file)


def _load(load: Callable[[str], None], path: Path) -> None:
    try:
        load(str(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the known host keys in {path}: {error}") from error


def _within(deadline: Deadline, what: str) -> float | None:
    """The time left for one step. Raises InfrastructureError when there is none."""
    if deadline.passed:
        raise InfrastructureError(f"{what} takes too long")
    return deadline.timeout


def _key_files(settings: DeviceSettings) -> str | None:
    # paramiko takes a list as well, which its published types do not say
    return cast("str | None", [str(file) for file in settings.key_files])


def _describe(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _login_message(address: Address, settings: DeviceSettings, error: Exception) -> str:
    if settings.password:
        tried = "the password" + (" and --key_file" if settings.key_files else "")
    elif settings.key_files:
        tried = "the key of --key_file"
    else:
        tried = "the keys in ~/.ssh and of the SSH agent"
    hint = "give --password, RPI_PASSWORD or --key_file" if not settings.password else "check --username and --password"
    if isinstance(error, paramiko.PasswordRequiredException):
        return f"board {address}: the key of --key_file is encrypted; add it to an SSH agent (ssh-add)"
    return f"board {address}: does not let user {settings.username} in with {tried}; {hint}"


def wait_for_line(channel: paramiko.Channel, deadline: Deadline, heartbeat: float, silence: float) -> Iterator[str]:
    """The lines that a running command writes, until it ends. Sends a sign of life every ``heartbeat`` seconds.

    Raises InfrastructureError if nothing was heard for ``silence`` seconds. Ends, without a last line, when
    ``deadline`` passes.
    """
    pending = b""
    heard = beaten = time.monotonic()
    while not deadline.passed:
        now = time.monotonic()
        if now - heard > silence:
            raise InfrastructureError(f"the board has been silent for {silence:g} s")
        if now - beaten >= heartbeat:
            channel.settimeout(silence)
            channel.sendall(b"\n")
            beaten = now
        channel.settimeout(max(0.01, min(heartbeat, deadline.remaining)))
        try:
            chunk = channel.recv(_CHUNK)
        except TimeoutError:
            continue
        if not chunk:
            return
        heard = time.monotonic()
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > 1 << 16:
            raise InfrastructureError("the board answered with garbage")
        for line in lines:
            yield line.decode("utf-8", errors="replace")
