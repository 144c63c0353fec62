"""SSH connections to boards: verified host keys, and commands that never outlast their deadline."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import paramiko

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.devices.ssh.framing import AfterMarker, FramedCommand, framed
from ellopt.devices.ssh.host_keys import HostKey, HostKeyCheck, OtherKeyError, known_hosts_path
from ellopt.devices.ssh.login import Login
from ellopt.devices.ssh.route import Route, find_route, without_secrets
from ellopt.devices.ssh.sockets import connect_tcp, start_proxy, step_seconds, what_answers

_LOG_CHANNEL = f"{__name__}.paramiko"
_CHUNK = 32768
_ERRORS = (paramiko.SSHException, EOFError, OSError, ValueError, IndexError, struct.error)
#: what servers say, instead of their version, when they have no room at the moment
_BUSY = ("Exceeded MaxStartups", "Not allowed at this time")
_MOST_JUMPS = 8
#: how long a server may take to tell a command's end, and how long it is asked for another channel, in seconds
_END_SECONDS = 5.0
_REFUSED_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What a command on a board wrote."""

    stdout: bytes
    stderr: str


class SshConnection:
    """A connection to one board. Commands run one at a time; ``close`` may be called from any thread."""

    def __init__(
        self,
        address: Address,
        settings: DeviceSettings,
        deadline: Deadline,
        trusted: Collection[bytes] = (),
        jump: int = 0,
        via: tuple[Address, ...] | None = None,
        name: str = "ellopt",
    ) -> None:
        """Connect and log in.

        ``trusted``: host keys that boards have proved before. ``jump``: how many connections go through this one;
        ``via``: through which machines this one goes, if not as ~/.ssh/config says. ``name``: what ``execute`` calls
        its processes. Raises HostKeyError, LoginError, another ConfigurationError where the user has to mend something,
        or InfrastructureError.
        """
        self.address = address
        self._name = name
        self._who = f"jump host {address}" if jump else f"board {address}"
        self._jump = jump
        self._way: list[Callable[[], object]] = []  # how to end what lies between
        self._transport: paramiko.Transport | None = None
        logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)  # what matters of its errors, ours say
        route: Route | None = None
        try:
            route = find_route(address, settings, jump=bool(jump))
            if via is not None:
                route = replace(route, jumps=via)
            for file in route.given_keys:
                if not file.is_file():
                    raise ConfigurationError(f"--key_file: there is no file {file}")
            self.host_key = self._connect(route, settings, deadline, trusted)
            Login(self._who, route, settings.password).run(self._active())
        except BaseException as error:
            self.close()
            if isinstance(error, _ERRORS):
                raise self._failure(error, route) from None
            raise

    def _connect(
        self, route: Route, settings: DeviceSettings, deadline: Deadline, trusted: Collection[bytes]
    ) -> HostKey:
        """Connect until the server has proved itself with the right key, which is returned."""
        check = HostKeyCheck(
            str(self.address),
            route.known_as,
            route.port,
            settings.known_hosts or known_hosts_path(),
            settings.accept_new_host_keys,
            trusted,
        )
        tried: list[str] = []
        wrong: HostKey | None = None
        kinds = check.kinds
        while True:
            try:
                key = self._handshake(route, settings, deadline, kinds, only=bool(tried))
            except paramiko.SSHException as error:
                if wrong is not None and _is_incompatible(error):
                    raise check.changed(wrong) from None
                raise
            try:
                check.check(key, tried)
            except OtherKeyError as other:
                tried.append(key.kind)
                wrong, kinds = key, other.kinds
                self.close()
            else:
                return key

    def _handshake(
        self, route: Route, settings: DeviceSettings, deadline: Deadline, kinds: Collection[str], only: bool
    ) -> HostKey:
        """Connect and exchange keys. The server is asked for a host key of ``kinds`` first, or ``only`` for these."""
        transport = paramiko.Transport(self._stream(route, settings, deadline))
        self._transport = transport
        transport.set_log_channel(_LOG_CHANNEL)
        limit = step_seconds(deadline)
        transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = limit
        options = transport.get_security_options()
        known = [name for name in options.key_types if _kind_of(name) in kinds]
        if known:
            options.key_types = known if only else [*known, *(n for n in options.key_types if n not in known)]
        elif only:
            raise paramiko.SSHException("Incompatible ssh peer")
        transport.start_client(timeout=limit)
        shown = transport.get_remote_server_key()
        return HostKey(shown.get_name(), shown.asbytes())

    def _stream(self, route: Route, settings: DeviceSettings, deadline: Deadline) -> socket.socket | paramiko.Channel:
        if route.jumps:
            return self._through(route, settings, deadline)
        if route.proxy_command:
            stream, end = start_proxy(self._who, route.proxy_command)
            self._way.append(end)
            return stream
        return connect_tcp(self._who, route, step_seconds(deadline))

    def _through(self, route: Route, settings: DeviceSettings, deadline: Deadline) -> paramiko.Channel:
        if self._jump >= _MOST_JUMPS:
            raise ConfigurationError(f"{self._who}: ProxyJump of ~/.ssh/config goes round in a circle")
        *before, last = route.jumps
        between = SshConnection(
            last, without_secrets(settings), deadline, jump=self._jump + 1, via=tuple(before) or None
        )
        self._way.append(between.close)
        try:
            return between._active().open_channel(
                "direct-tcpip", (route.host, route.port), ("127.0.0.1", 0), timeout=step_seconds(deadline)
            )
        except _ERRORS as error:
            raise InfrastructureError(
                f"{self._who}: {last} cannot connect to {route.host}:{route.port}: {_reason(error)}"
            ) from None

    def _failure(self, error: BaseException, route: Route | None) -> ConfigurationError | InfrastructureError:
        """An error while connecting, in words; a ConfigurationError if trying again is of no use."""
        text = _reason(error)
        if isinstance(error, paramiko.SSHException) and _is_incompatible(error):
            return ConfigurationError(
                f"{self._who}: its SSH server has no method in common with ellopt ({text}): it is too old, or a jump "
                "away from what it was; update it (apt-get install --only-upgrade openssh-server)"
            )
        if "protocol" in text and route is not None and not (route.jumps or route.proxy_command):
            said = what_answers(route)
            if said and not any(busy in said for busy in _BUSY):
                return ConfigurationError(
                    f"{self._who}: what answers there is no SSH server: it says {said!r}; check the port (--ssh_port)"
                )
        if "No existing session" in text:
            text = "it does not answer in time"
        return InfrastructureError(f"{self._who}: cannot connect: {text}")

    def execute(self, script: str, deadline: Deadline, data: bytes = b"", limit: int = 1 << 20) -> Answer:
        """Have the board's sh run ``script`` with ``data`` as standard input until it ends, and return what it wrote.

        Raises InfrastructureError if the connection fails, more than ``limit`` bytes come back or the deadline
        passes (these are the board's own small commands, not candidates), and ShellError if the login shell ended
        without having run the command.
        """
        command = framed(script, self._name)
        with self.channel(command, deadline) as channel:
            view = memoryview(data)
            try:
                while view:
                    channel.settimeout(_within(deadline, f"{self._who}: sending"))
                    view = view[channel.send(view[:_CHUNK].tobytes()) :]
                channel.shutdown_write()
            except OSError as error:
                # The command has ended early; what it said about it matters more.
                if not self.alive:
                    raise InfrastructureError(f"{self._who}: connection lost: {_reason(error)}") from None
            answer = AfterMarker(command.marker)
            stdout = self._read_all(channel.recv, channel, deadline, limit, answer)
            stderr = self._read_all(channel.recv_stderr, channel, deadline, limit)
            self.await_end(channel)
        errors = stderr.decode(errors="replace").strip()
        answer.check(self._who, errors)
        return Answer(stdout, errors)

    def _read_all(
        self,
        receive: Callable[[int], bytes],
        channel: paramiko.Channel,
        deadline: Deadline,
        limit: int,
        answer: AfterMarker | None = None,
    ) -> bytes:
        received = bytearray()
        while True:
            channel.settimeout(_within(deadline, f"{self._who}: receiving"))
            chunk = receive(_CHUNK)
            if not chunk:
                break
            received += chunk if answer is None else answer.feed(chunk)
            if len(received) > limit:
                raise InfrastructureError(f"{self._who}: sent more than the {limit} bytes that it announced")
        if not self.alive:
            raise InfrastructureError(f"{self._who}: connection lost")
        return bytes(received)

    @contextlib.contextmanager
    def channel(self, command: FramedCommand, deadline: Deadline) -> Iterator[paramiko.Channel]:
        """A channel on which ``command`` was started. Errors of the connection become InfrastructureError."""
        transport = self._active()
        try:
            channel = self._start(transport, command, deadline)
            try:
                yield channel
            finally:
                channel.close()
        except TimeoutError:
            raise InfrastructureError(f"{self._who}: does not answer") from None
        except _ERRORS as error:
            raise InfrastructureError(f"{self._who}: connection lost: {_reason(error)}") from None

    def _start(self, transport: paramiko.Transport, command: FramedCommand, deadline: Deadline) -> paramiko.Channel:
        """Open a channel and start the command. A server that has no room for it (MaxSessions, or it has not yet
        noticed the end of the last one) is asked again for a while."""
        patience = deadline.at_most(_REFUSED_SECONDS)
        pause = 0.02
        while True:
            channel: paramiko.Channel | None = None
            try:
                channel = transport.open_session(timeout=_within(deadline, self._who))
                channel.settimeout(_within(deadline, self._who))
                channel.exec_command(command.text)
            except paramiko.SSHException:
                if channel is not None:
                    channel.close()
                if patience.passed or not transport.is_active():
                    raise
                time.sleep(min(pause, patience.remaining))
                pause = min(2 * pause, 1.0)
            except BaseException:
                if channel is not None:
                    channel.close()
                raise
            else:
                return channel

    def await_end(self, channel: paramiko.Channel) -> None:
        """Wait until the server has told how the command ended and closed its side, for a while: many have no room
        for another channel before that."""
        give_up = Deadline.after(_END_SECONDS)
        channel.status_event.wait(give_up.remaining)
        while not (channel.closed or give_up.passed) and self.alive:
            time.sleep(0.001)

    def _active(self) -> paramiko.Transport:
        if self._transport is None or not self._transport.is_active():
            raise InfrastructureError(f"{self._who}: not connected")
        return self._transport

    @property
    def alive(self) -> bool:
        return self._transport is not None and self._transport.is_active()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        while self._way:
            with contextlib.suppress(OSError, IndexError):
                self._way.pop()()


def _is_incompatible(error: Exception) -> bool:
    return isinstance(error, paramiko.ssh_exception.IncompatiblePeer) or "Incompatible" in str(error)


def _kind_of(algorithm: str) -> str:
    """The kind of key behind a signature algorithm's name (RFC 8332)."""
    return "ssh-rsa" if algorithm in ("rsa-sha2-256", "rsa-sha2-512") else algorithm


def _within(deadline: Deadline, what: str) -> float | None:
    """The time left for one step. Raises InfrastructureError when there is none."""
    if deadline.passed:
        raise InfrastructureError(f"{what} takes too long")
    return deadline.timeout


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def wait_for_line(
    channel: paramiko.Channel, marker: bytes, deadline: Deadline, heartbeat: float, silence: float
) -> Iterator[str]:
    """The lines that a running command writes after ``marker``, until it ends. Sends a sign of life every
    ``heartbeat`` seconds.

    Raises InfrastructureError if nothing was heard for ``silence`` seconds. Ends, without a last line, when
    ``deadline`` passes.
    """
    answer = AfterMarker(marker)
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
        *lines, pending = (pending + answer.feed(chunk)).split(b"\n")
        if len(pending) > 1 << 16:
            raise InfrastructureError("the board answered with garbage")
        for line in lines:
            yield line.decode("utf-8", errors="replace")
