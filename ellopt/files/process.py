"""Runs a command in its own process group, with a deadline, so that nothing of it outlives its use."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CommandTimeout, InfrastructureError
from ellopt.files.child_environment import child_environment

#: what is kept of each output stream, in bytes; the rest is read and dropped
KEPT_OUTPUT = 4 << 20

# Leads the process group. It ends the whole group when its standard input closes, which the system does for us
# even when this process is killed and can do nothing itself.
_LIFELINE = "trap '' INT TERM HUP; read -r _; kill -KILL -$$"


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself. A negative ``exit_code`` is the signal that ended it."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float


class Abort:
    """Lets another thread end commands that are running. Once fired it stays so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Callable[[], None]] = []
        self.fired = False

    def fire(self) -> None:
        with self._lock:
            self.fired = True
            for kill in self._running:
                kill()

    @contextlib.contextmanager
    def _killing(self, kill: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            if self.fired:
                kill()
            self._running.append(kill)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(kill)


def run_in_group(
    arguments: Sequence[str],
    directory: Path,
    deadline: Deadline,
    environment: Mapping[str, str] | None = None,
    abort: Abort | None = None,
    inherited: Sequence[int] = (),
) -> Completed:
    """Run ``arguments`` in ``directory`` and wait for it. Standard input is empty.

    ``environment`` is added to this process's own, from which secrets are left out; ``inherited``: descriptors that it
    has, too (POSIX). The command and all that it started are killed when it ends, when ``deadline`` passes
    (CommandTimeout), when ``abort`` is fired (InfrastructureError), when an exception such as KeyboardInterrupt leaves
    this function and, on POSIX systems, when this process dies. Raises InfrastructureError if the command cannot be
    started.
    """
    deadline.check(f"starting {arguments[0]}")
    abort = abort or Abort()
    variables = child_environment(environment)
    with _group() as leader:
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                list(arguments),
                cwd=directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=leader,
                pass_fds=tuple(inherited),
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise InfrastructureError(f"cannot start {arguments[0]}: {error}") from error
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            readers = (_Reader(process.stdout), _Reader(process.stderr))
            try:
                with abort._killing(lambda: _kill(process, leader)):
                    ended = _wait(process, deadline.timeout)
                seconds = time.monotonic() - started
                if not ended:
                    raise CommandTimeout(f"{arguments[0]} ran for longer than it may and was killed")
            finally:
                _kill(process, leader)
                process.wait()
                for reader in readers:
                    reader.join()
        if abort.fired:
            raise InfrastructureError(f"{arguments[0]} was stopped")
        return Completed(process.returncode, readers[0].kept, readers[1].kept, seconds)


@contextlib.contextmanager
def _group() -> Iterator[int | None]:
    """A process group whose members are killed at the end of the ``with``, or when this process dies."""
    if sys.platform == "win32":
        yield None
        return
    try:
        lifeline = subprocess.Popen(
            ["/bin/sh", "-c", _LIFELINE],
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError as error:
        raise InfrastructureError(f"cannot start /bin/sh: {error}") from error
    with lifeline:
        try:
            yield lifeline.pid
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(lifeline.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], timeout: float | None) -> bool:
    """Whether ``process`` ended within ``timeout`` seconds, known at once: Popen.wait with a timeout sleeps up to 50 ms
    between two looks, which would be counted as time on the device."""
    waiter = threading.Thread(target=process.wait, daemon=True)
    waiter.start()
    waiter.join(timeout)
    return not waiter.is_alive()


def _kill(process: subprocess.Popen[bytes], leader: int | None) -> None:
    """Kill the command and whatever else is in its group."""
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                env=child_environment(),
                capture_output=True,
                timeout=30,
                check=False,
            )
    elif leader is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    process.kill()


class _Reader(threading.Thread):
    """Reads a stream to its end, so that the command never waits for us, and keeps the beginning."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._kept = bytearray()
        self.start()

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)

    def run(self) -> None:
        while chunk := os.read(self._stream.fileno(), 1 << 16):
            self._kept += chunk[: max(0, KEPT_OUTPUT - len(self._kept))]
