"""Boards made of pure Python: SSH servers on loopback, each with a directory of its own as its file system, that can
be told to misbehave."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import paramiko

USER = "pi"
PASSWORD = "raspberry-8412-secret"


#: what runs before a command on which a fault strikes
_PREFIXES = {"full": "trap '' XFSZ; ulimit -f 0; ", "late": "sleep 1; "}


class Board:
    """An SSH server whose commands run in real shells, with $TMPDIR in ``directory``.

    ``fault`` is called with every command before it runs and may return the name of a misfortune:
    ``refuse`` (the connection is closed), ``drop_in``, ``drop_out`` (closed in the middle of what the client
    sends or gets), ``garbage`` (noise instead of an answer), ``hang`` (nothing more is heard), ``altered`` (one byte
    of the answer is another one), ``full`` (files can be made but not written), ``late`` (the connection is closed and
    the command runs all the same, a second later), or None.
    """

    def __init__(self, host: str, directory: Path, port: int = 0, path: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.host_key = paramiko.ECDSAKey.generate()
        self.fault: Callable[[str], str | None] = lambda command: None
        self.refusing = False
        self.environment = {**os.environ, "TMPDIR": str(directory), "HOME": str(directory)}
        if path:
            self.environment["PATH"] = path
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(64)
        self.host, self.port = self._listener.getsockname()
        self._transports: set[paramiko.Transport] = set()
        self._lock = threading.Lock()
        self.commands = 0
        self.dead = False
        threading.Thread(target=self._serve, daemon=True).start()

    def known_hosts_line(self) -> str:
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        return f"{name} {self.host_key.get_name()} {self.host_key.get_base64()}\n"

    def change_host_key(self) -> None:
        self.host_key = paramiko.ECDSAKey.generate()
        self.drop_all()

    def drop_all(self) -> None:
        with self._lock:
            transports = list(self._transports)
        for transport in transports:
            transport.close()

    def die(self) -> None:
        self.dead = True
        self._listener.close()
        self.drop_all()

    close = die

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing or self.dead:
                connection.close()
                continue
            threading.Thread(target=self._welcome, args=(connection,), daemon=True).start()

    def _welcome(self, connection: socket.socket) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            with self._lock:
                self._transports.add(transport)
            try:
                transport.start_server(server=_Server(self, transport))
                while transport.is_active():
                    transport.join(1)
            finally:
                with self._lock:
                    self._transports.discard(transport)
                transport.close()


class _Server(paramiko.ServerInterface):
    def __init__(self, board: Board, transport: paramiko.Transport) -> None:
        self._board = board
        self._transport = transport

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        right = username == USER and password == PASSWORD
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._execute, args=(channel, command.decode()), daemon=True).start()
        return True

    def _execute(self, channel: paramiko.Channel, command: str) -> None:
        board = self._board
        board.commands += 1
        fault = board.fault(command)
        if fault == "refuse":
            self._transport.close()
            return
        if fault == "garbage":
            channel.sendall(random.randbytes(300))
            channel.send_exit_status(0)
            channel.close()
            return
        if fault == "late":
            self._transport.close()
        process = subprocess.Popen(
            ["sh", "-c", _PREFIXES.get(fault or "", "") + command],
            cwd="/",
            env=board.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout
        assert process.stderr
        threading.Thread(target=self._feed, args=(channel, process, fault), daemon=True).start()
        errors = threading.Thread(
            target=self._pump, args=(process.stderr.fileno(), channel.sendall_stderr), daemon=True
        )
        errors.start()
        send: Callable[[bytes], object] = channel.sendall
        if fault == "drop_out":
            send = self._drop
        elif fault == "hang":
            send = _swallow
        elif fault == "altered":
            send = partial(_altered, channel)
        self._pump(process.stdout.fileno(), send)
        code = process.wait()
        errors.join()
        for stream in (process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
        if fault == "hang":
            while self._transport.is_active():
                time.sleep(0.05)
            return
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            channel.send_exit_status(code if code >= 0 else 128 - code)
            channel.close()

    def _feed(self, channel: paramiko.Channel, process: subprocess.Popen[bytes], fault: str | None) -> None:
        """Client -> command, until the client closes its side or the connection is gone."""
        assert process.stdin
        try:
            while data := channel.recv(32768):
                if fault == "drop_in":
                    os.write(process.stdin.fileno(), data[: len(data) // 2])
                    self._transport.close()
                    break
                view = memoryview(data)
                while view:
                    view = view[os.write(process.stdin.fileno(), view) :]
        except (OSError, ValueError):
            pass
        with contextlib.suppress(OSError, ValueError):
            process.stdin.close()

    def _pump(self, source: int, send: Callable[[bytes], object]) -> None:
        try:
            while data := os.read(source, 32768):
                with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                    send(data)
        except OSError:
            pass

    def _drop(self, data: bytes) -> None:
        self._transport.close()


def kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _swallow(data: bytes) -> None:
    """Nothing of it arrives."""


def _altered(channel: paramiko.Channel, data: bytes) -> None:
    """It arrives with one bit of its first byte turned over."""
    channel.sendall(bytes([data[0] ^ 1]) + data[1:])
