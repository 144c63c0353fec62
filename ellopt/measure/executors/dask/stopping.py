"""Work at a worker that nobody wants any more is ended: Dask itself leaves running threads alone."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError, UnwantedError
from ellopt.devices.base import Device, DevicePool, PoolReport

log = logging.getLogger(__name__)

#: Seconds between two looks whether work is wanted.
LOOK_SECONDS = 0.25
_current: contextvars.ContextVar[Stop | None] = contextvars.ContextVar("stop", default=None)


class Stop:
    """Ends one piece of work from another thread. Once fired it stays so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fired = threading.Event()
        self._ending: list[Callable[[], None]] = []

    @property
    def fired(self) -> bool:
        return self._fired.is_set()

    def fire(self) -> None:
        with self._lock:
            if self._fired.is_set():
                return
            self._fired.set()
            for end in self._ending:
                end()

    def check(self) -> None:
        """Raise UnwantedError if it was fired."""
        if self._fired.is_set():
            raise UnwantedError("nobody wants the result any more")

    def sleep(self, seconds: float) -> None:
        """Wait. Raises UnwantedError as soon as it is fired."""
        self._fired.wait(seconds)
        self.check()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """``end`` is called when it is fired within the ``with``, also if it was fired before. What fails for that is
        an UnwantedError."""
        with self._lock:
            self._ending.append(end)
            if self._fired.is_set():
                end()
        try:
            yield
        except InfrastructureError as error:
            if self._fired.is_set():
                raise UnwantedError("nobody wants the result any more") from error
            raise
        finally:
            with self._lock:
                self._ending.remove(end)


def current() -> Stop:
    """What ends the work that this thread does."""
    return _current.get() or Stop()


def sleep(seconds: float) -> None:
    """Wait, as long as what this thread does is wanted."""
    current().sleep(seconds)


class Watch:
    """Looks whether work is still wanted, on a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: dict[Stop, Callable[[], bool]] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, wanted: Callable[[], bool]) -> Iterator[Stop]:
        """What this thread does in the ``with`` is stopped once it is not ``wanted``."""
        stop = Stop()
        with self._lock:
            self._work[stop] = wanted
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
                self._thread.start()
        if self._closed.is_set():
            stop.fire()
        token = _current.set(stop)
        try:
            yield stop
        finally:
            _current.reset(token)
            with self._lock:
                del self._work[stop]

    def close(self) -> None:
        """The worker ends, and with it all that it does."""
        self._closed.set()
        with self._lock:
            work = list(self._work)
        for stop in work:
            stop.fire()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            with self._lock:
                work = list(self._work.items())
            for stop, wanted in work:
                if not stop.fired and not wanted():
                    log.info("ending what nobody wants any more")
                    stop.fire()


class StoppablePool:
    """The devices of a pool for work that is watched: what runs on them ends with it, and they are given back."""

    def __init__(self, pool: DevicePool) -> None:
        self._pool = pool
        self.emulated = pool.emulated
        self.sends = pool.sends

    @property
    def capacity(self) -> int:
        return self._pool.capacity

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:
        stop = current()
        with self._pool.lease(deadline) as device:
            abort = getattr(device, "abort", None)
            with contextlib.nullcontext() if abort is None else stop.ending(abort):
                stop.check()
                yield device

    def report(self) -> PoolReport:
        return self._pool.report()

    def close(self) -> None:
        self._pool.close()
