"""The tuning process's end of the writer process: starts it, talks to it, and ends it in time."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ellopt

_LOG = logging.getLogger(__name__)

#: for how long a measurement waits for the writer to come to rest; it usually does in a few milliseconds
_REST_SECONDS = 0.25
#: what programs of MLflow's must not even see
SECRET_VARIABLES = ("RPI_APIKEY", "RPI_PASSWORD")


class WriterProcess:
    """A child process that delivers. Nothing here raises: without the process, records wait in their outboxes.

    ``on_event`` is called from another thread with each event.
    """

    def __init__(
        self, on_event: Callable[[Mapping[str, Any]], None], environment: Mapping[str, str], cwd: Path
    ) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._resting = threading.Event()
        self._measuring = 0  # how many measurements run now
        self._number = 0  # of the last period of quiet
        self._patience: float | None = None  # set when it is ended for having taken too long
        self._dismissed = False
        self._busy = False  # the writer did not come to rest last time: do not wait for it again
        self._process = self._start(environment, cwd)
        self._threads = [self._drain(self._events), self._drain(self._errors)]

    def _start(self, environment: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes] | None:
        root = str(Path(ellopt.__file__).parents[1])
        path = os.pathsep.join(part for part in (root, environment.get("PYTHONPATH", "")) if part)
        variables = {key: value for key, value in environment.items() if key not in SECRET_VARIABLES}
        # A group of its own: Ctrl-C on the terminal is for the tuning process, which then closes this one in order.
        group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "ellopt.tracking.writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**variables, "PYTHONPATH": path},
                cwd=cwd,
                **group,
            )
        except OSError as error:
            self._on_event({"event": "trouble", "text": f"the writer process cannot be started: {error}"})
            return None

    def _drain(self, target: Callable[[IO[bytes]], None]) -> threading.Thread:
        stream = None
        if self._process is not None:
            stream = self._process.stdout if target == self._events else self._process.stderr
        thread = threading.Thread(target=target, args=(stream,), daemon=True)
        if stream is not None:
            thread.start()
        return thread

    def _events(self, stream: IO[bytes]) -> None:
        closed = False
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "idle":
                if event.get("n") == self._number:
                    self._resting.set()
                continue
            closed = closed or event.get("event") == "closed"
            self._on_event(event)
        self._resting.set()  # it is gone, nobody need wait for it
        if not closed and not self._dismissed:
            slow = self._patience
            text = "the writer process ended" if slow is None else f"the store did not take them within {slow:.0f} s"
            self._on_event({"event": "gone", "text": text})

    @staticmethod
    def _errors(stream: IO[bytes]) -> None:
        for line in stream:
            _LOG.debug("writer: %s", line.decode(errors="replace").rstrip())

    def send(self, **command: object) -> None:
        """Give a command; one that cannot be given any more is dropped."""
        with self._lock:
            self._send(command)

    def _send(self, command: Mapping[str, object]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write((json.dumps(command) + "\n").encode())
            self._process.stdin.flush()
        except (OSError, ValueError):
            _LOG.debug("the writer process does not listen any more")

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Around a measurement on this machine: the writer does nothing meanwhile. May be nested and shared."""
        with self._lock:
            self._measuring += 1
            if self._measuring == 1:
                self._number += 1
                self._resting.clear()
                self._send({"quiet": self._number})
        # A writer that waits for a slow server does no harm and is not waited for.
        self._busy = not self._resting.wait(0.0 if self._busy else _REST_SECONDS)
        try:
            yield
        finally:
            with self._lock:
                self._measuring -= 1
                if self._measuring == 0:
                    self._send({"go": self._number})

    def close(self, seconds: float) -> None:
        """Let it deliver for at most ``seconds``, then make sure that it has ended."""
        if self._process is None:
            return
        self.send(close=seconds)
        try:
            self._process.wait(seconds + 0.5)
        except subprocess.TimeoutExpired:
            self._patience = seconds
        self._end()

    def dismiss(self) -> None:
        """End it at once: nothing was given to it, so its end is no news."""
        self._dismissed = True
        self._end()

    def _end(self) -> None:
        """Make sure that it has ended. What it was about stays in the outbox."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(2.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what was left in its buffer has no reader any more
                    _LOG.debug("closing a pipe of the writer process failed")
