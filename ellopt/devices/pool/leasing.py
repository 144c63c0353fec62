"""Leases boards to threads: fair, bounded, and patient with boards that misbehave."""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, ConfigurationError, DeadlineExceeded, InfrastructureError, UnwantedError
from ellopt.devices.base import Device, PoolReport
from ellopt.devices.pool.sources import BoardFailed, BoardSource, Holding, release_all

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How patient a pool is. All in seconds.

    A board that failed rests for ``first_rest``, twice as long after each further failure in a row, up to
    ``longest_rest``; while no other board works, it is tried again after ``longest_pause`` at the latest. When no
    board is free, asking again starts at ``shortest_pause`` and slows down to ``longest_pause``. One attempt to
    reach a board may take ``connect``. A board that nobody has used for ``idle`` is given back to those who share it.
    """

    first_rest: float = 2.0
    longest_rest: float = 600.0
    shortest_pause: float = 0.5
    longest_pause: float = 15.0
    connect: float = 60.0
    idle: float = 120.0


@dataclass
class _Record:
    """How a board has behaved."""

    failures: int = 0  # in a row
    failed_at: float = 0.0
    rest: float = 0.0
    final: bool = False
    reason: str = ""

    def rests_until(self, longest: float) -> float:
        return math.inf if self.final else self.failed_at + min(self.rest, longest)


@dataclass(eq=False)
class _Waiter:
    event: threading.Event = field(default_factory=threading.Event)


class Pool:
    """A DevicePool over the boards of a source, at most ``capacity`` at once. Closes in a ``with``.

    ``board_timeout`` is how long, in seconds, a lease waits while no board can be used at all.
    """

    def __init__(
        self, source: BoardSource, capacity: int, board_timeout: float = 600.0, pace: Pace | None = None
    ) -> None:
        self.capacity = max(1, min(capacity, source.size))
        self.emulated = source.emulated
        self.sends = 0 if not source.distant else 1 if source.shared else self.capacity
        self._source = source
        self._pace = pace or Pace()
        self.board_timeout = board_timeout
        self._lock = threading.Lock()
        self._waiters: deque[_Waiter] = deque()
        self._idle: list[tuple[float, Holding]] = []  # since when, most recently used last
        self._busy: set[Holding] = set()
        self._taken = 0  # idle, busy and being acquired
        self._records: dict[str, _Record] = {}
        self._last_success = time.monotonic()
        self._next_attempt = 0.0
        self._pause = self._pace.shortest_pause
        self._leases = 0
        self._retries = 0
        self._service_failure = ""
        self._closed = False
        self._watch: threading.Timer | None = None  # gives idle boards back while nobody leases
        atexit.register(self.close)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:
        """As ``DevicePool.lease``. Neither DeadlineExceeded nor UnwantedError that leaves the block says anything
        against the board; after the latter it is given back to whoever shares it.

        Raises ConfigurationError when every board there is refuses us for good.
        """
        holding = self._take(deadline)
        keep = False
        try:
            yield holding.device
            keep = True
        except (CandidateError, DeadlineExceeded):
            keep = True
            raise
        except UnwantedError:  # the connection was dropped, and nobody is to blame
            raise
        except InfrastructureError as error:
            self._blame(holding.name, str(error), final=False)
            raise
        finally:
            self._give_back(holding, keep)

    def report(self) -> PoolReport:
        with self._lock:
            reasons = {name: record.reason for name, record in self._records.items() if record.reason}
            return PoolReport(self._leases, self._retries, reasons)

    def close(self) -> None:
        """End what is running and give every board back. Leases that wait fail. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle = [holding for _, holding in self._idle]
            self._idle.clear()
            busy = list(self._busy)
            if self._watch is not None:
                self._watch.cancel()
            for waiter in self._waiters:
                waiter.event.set()
        atexit.unregister(self.close)
        for holding in busy:
            holding.abort()
        release_all(idle)
        with self._lock:
            self._taken -= len(idle)
        give_up = Deadline.after(30)  # the threads that use the others give them back, unless they hang
        while self._taken and not give_up.passed:
            time.sleep(0.01)
        with self._lock:
            busy = list(self._busy)
            self._busy.clear()
        release_all(busy)
        self._source.close()

    # --- taking -----------------------------------------------------------------------------------------------

    def _take(self, deadline: Deadline) -> Holding:
        waiter = _Waiter()
        waiting_since = time.monotonic()
        with self._lock:
            self._waiters.append(waiter)
        try:
            while True:
                holding = self._wait_for_turn(waiter, waiting_since, deadline)
                if holding is not None and not holding.still_ours():
                    self._drop(holding)
                    holding = None
                    with self._lock:
                        self._taken += 1
                if holding is None:
                    holding = self._acquire(deadline)
                if holding is not None:
                    with self._lock:
                        if not self._closed:
                            self._busy.add(holding)
                            self._leases += 1
                            return holding
                    self._drop(holding)
                with self._lock:  # back to the head of the queue
                    self._waiters.appendleft(waiter)
        finally:
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                self._wake_next()

    def _wait_for_turn(self, waiter: _Waiter, since: float, deadline: Deadline) -> Holding | None:
        """Wait until an idle board (returned) or the right to acquire another one (None) is this waiter's."""
        said = False
        while True:
            with self._lock:
                if self._closed:
                    raise InfrastructureError("the pool of devices was closed")
                now = time.monotonic()
                pause = 60.0
                if self._waiters[0] is waiter:
                    if self._idle:
                        self._waiters.popleft()
                        self._wake_next()
                        return self._idle.pop()[1]
                    if self._taken < self.capacity:
                        if now >= self._next_attempt:
                            self._waiters.popleft()
                            self._wake_next()
                            self._taken += 1
                            return None
                        pause = self._next_attempt - now
                    self._raise_if_hopeless(since)
                waiter.event.clear()
            if not said and now - since > 5:
                _LOG.info("waiting for a device: %s", self._source.waiting_for())
                said = True
            if deadline.passed:
                raise DeadlineExceeded(f"no device could be had in time: {self._source.waiting_for()}")
            waiter.event.wait(min(pause, deadline.remaining, 60.0))

    def _acquire(self, deadline: Deadline) -> Holding | None:
        """Try once to get another board; the caller has counted it as taken."""
        with self._lock:
            now = time.monotonic()
            longest = self._longest_rest()
            avoid = frozenset(n for n, record in self._records.items() if record.rests_until(longest) > now)
        holding: Holding | None = None
        try:
            holding = self._source.acquire(avoid, deadline.at_most(self._pace.connect))
            self._service_failure = ""
        except BoardFailed as error:
            self._blame(error.board, str(error), error.final)
        except InfrastructureError as error:
            self._service_failure = str(error)
            self._retry_later()
            _LOG.warning("%s", error)
        else:
            if holding is None:
                self._retry_later()
        finally:
            if holding is None:
                with self._lock:
                    self._taken -= 1
            else:
                with self._lock:
                    self._pause = self._pace.shortest_pause
        return holding

    def _retry_later(self) -> None:
        with self._lock:
            now = time.monotonic()
            pause = self._pause * random.uniform(0.75, 1.25)
            longest = self._longest_rest()
            ends = [end for r in self._records.values() if (end := r.rests_until(longest)) > now]
            self._next_attempt = min([now + pause, *ends])
            self._pause = min(self._pause * 1.5, self._pace.longest_pause)

    def _longest_rest(self) -> float:
        """With the lock held, by a thread that is acquiring: shorter while no other board is in use."""
        return self._pace.longest_rest if self._taken > 1 else self._pace.longest_pause

    def _raise_if_hopeless(self, since: float) -> None:
        """With the lock held: give up waiting when nothing has worked for too long."""
        if self._taken:
            return
        refused = [record.reason for record in self._records.values() if record.final]
        if len(refused) >= self._source.size:
            raise ConfigurationError("; ".join(refused))
        waited = time.monotonic() - max(since, self._last_success)
        if waited > self.board_timeout:
            failed = {name: record.reason for name, record in self._records.items() if record.failures}
            reasons = [why if name in why else f"{name}: {why}" for name, why in failed.items()]
            reasons += [self._service_failure] if self._service_failure else []
            raise DeadlineExceeded(
                f"no device could be used for {waited:.0f} s (--board_timeout): "
                + ("; ".join(reasons) or self._source.waiting_for())
            )

    # --- giving back ------------------------------------------------------------------------------------------

    def _give_back(self, holding: Holding, keep: bool) -> None:
        now = time.monotonic()
        with self._lock:
            mine = holding in self._busy  # otherwise close() has released it
            self._busy.discard(holding)
            if keep:
                self._last_success = now
                self._records[holding.name] = _Record()  # it works again
            keep = keep and not self._closed
            if mine and keep:
                self._idle.append((now, holding))
            tired = self._take_tired(now)
            self._watch_idle(now)
            self._wake_next()
        if mine and not keep:
            self._drop(holding)
        for idle in tired:
            self._drop(idle)

    def _take_tired(self, now: float) -> list[Holding]:
        """With the lock held: boards that have been idle for long, where others may want them."""
        if not self._source.shared:
            return []
        tired = [holding for since, holding in self._idle if now - since > self._pace.idle]
        self._idle = [(since, holding) for since, holding in self._idle if now - since <= self._pace.idle]
        return tired

    def _watch_idle(self, now: float) -> None:
        """With the lock held: see to it that what is idle is given back in time, whatever our users are busy with."""
        if self._watch is not None or self._closed or not self._source.shared or not self._idle:
            return
        oldest = min(since for since, _ in self._idle)
        self._watch = threading.Timer(max(0.0, oldest + self._pace.idle - now) + 0.01, self._give_back_tired)
        self._watch.daemon = True
        self._watch.start()

    def _give_back_tired(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._watch = None
            tired = self._take_tired(now)
            self._watch_idle(now)
        for holding in tired:
            self._drop(holding)

    def _drop(self, holding: Holding) -> None:
        try:
            holding.release()
        finally:
            with self._lock:
                self._taken -= 1
                self._wake_next()

    def _blame(self, name: str, reason: str, final: bool) -> None:
        with self._lock:
            if self._closed:
                return
            record = self._records.setdefault(name, _Record())
            alone, known = self._source.size == 1, record.reason == reason
            record.failures += 1
            record.final, record.reason = final, reason
            growing = self._pace.first_rest * 2 ** min(record.failures - 1, 20)
            record.rest = min(self._pace.longest_rest, growing) * random.uniform(0.75, 1.25)
            record.failed_at = time.monotonic()
            self._retries += 1
            left = max(0.0, self._last_success + self.board_timeout - record.failed_at)
        again = f"there is no other board, so it is tried again for {left:.0f} s"
        rests = again if alone else f"set aside for {record.rest:.1f} s"
        said = alone and (final or known or not left)  # by the error that follows, or by the warning before
        _LOG.log(logging.INFO if said else logging.WARNING, "%s; %s", reason, "not used again" if final else rests)

    def _wake_next(self) -> None:
        """With the lock held."""
        if self._waiters:
            self._waiters[0].event.set()
