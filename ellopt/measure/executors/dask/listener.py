"""The client's part in talks with long work at workers: asks all of them for news, and hands each text on once."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from ellopt.core.errors import ElloptError, InfrastructureError
from ellopt.measure.executors.base import Task
from ellopt.measure.executors.dask.answer import Answer
from ellopt.measure.executors.dask.fleet import Errand, Fleet
from ellopt.measure.executors.dask.offer import our_version
from ellopt.measure.executors.dask.talk import Listen, News, Tell
from ellopt.measure.executors.dask.work import Order

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5


class Hearer(Protocol):
    """Who waits for a piece of work. Called by one thread at a time."""

    def begin(self) -> bytes:
        """An attempt has begun: what it is to know. What an earlier one says does not count any more."""

    def hear(self, text: str) -> None:
        """The attempt says something. Raises ValueError for what it cannot have said."""


class Hearing:
    """What was heard of one piece of work."""

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._lock = threading.Lock()
        self._heard = 0
        self._before: set[str] = set()
        self.attempt = ""
        self.damaged = ""

    def take(self, news: News) -> bytes | None:
        """Take in what is new. What is to be told to the attempt, if it has just begun."""
        with self._lock:
            if news.attempt != self.attempt:
                if news.attempt in self._before:  # it is over, whatever it thinks
                    return None
                self._before.add(news.attempt)
                self.attempt, self._heard, self.damaged = news.attempt, 0, ""
                return self._hearer.begin()
            for text in news.texts[max(0, self._heard - news.first) :]:
                if news.first > self._heard:
                    self.damaged = self.damaged or "something that was said did not arrive"
                self._heard += 1
                try:
                    if not self.damaged:
                        self._hearer.hear(text)
                except ValueError as error:
                    self.damaged = str(error)
        return None

    def end(self, news: News) -> None:
        """Take in the last news. Raises InfrastructureError if not everything arrived, or something cannot be."""
        self.take(news)
        if news.attempt != self.attempt:
            raise InfrastructureError("the result is that of another attempt")
        if self.damaged:
            raise InfrastructureError(f"a worker said what cannot be: {self.damaged}")

    @property
    def heard(self) -> int:
        return self._heard


class Listener:
    """Asks the workers of a fleet that tune for news, on a thread of its own while there is something to hear."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._hearings: dict[str, Hearing] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def to(self, work: str, hearer: Hearer) -> Iterator[Hearing]:
        hearing = Hearing(hearer)
        with self._lock:
            self._hearings[work] = hearing
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="listener", daemon=True)
                self._thread.start()
        try:
            yield hearing
        finally:
            with self._lock:
                del self._hearings[work]

    def _work(self) -> None:
        asked: dict[str, Future[Any]] = {}
        at: dict[str, float] = {}
        answered = threading.Event()
        while True:
            answered.clear()
            with self._lock:
                hearings = dict(self._hearings)
                if not hearings:
                    self._thread = None
                    return
            for address in [address for address, future in asked.items() if future.done()]:
                for news in self._answer(asked.pop(address)):
                    if (hearing := hearings.get(news.work)) is not None:
                        self._take(hearing, news, address)
            heard = {hearing.attempt: hearing.heard for hearing in hearings.values()}
            now = time.monotonic()
            waiting = [address for address in self._workers() if address not in asked]
            for address in waiting:
                if now >= at.get(address, 0.0) + _PAUSE_SECONDS:
                    at[address] = now
                    asked[address] = self._ask(Listen(frozenset(hearings), heard), address)
                    asked[address].add_done_callback(lambda _: answered.set())
            due = [at[address] for address in waiting if address not in asked]
            answered.wait(max(0.0, min(due, default=now) + _PAUSE_SECONDS - now))

    def _workers(self) -> list[str]:
        """The addresses of those that tune."""
        offers = self._fleet.offers.items()
        return [address for address, offer in offers if offer.tunings and offer.version == our_version()]

    def _take(self, hearing: Hearing, news: News, address: str) -> None:
        data = hearing.take(news)
        if data is not None:
            self._ask(Tell(news.attempt, data), address)

    def _ask(self, task: Task[Any, Any], address: str) -> Future[Any]:
        def read(answer: Answer) -> Any:
            return answer.result_of(task, None)

        errand = Errand(Order(pickle.dumps(task), ""), "", read, worker=address)
        self._fleet.ask(errand)
        return errand.result

    def _answer(self, future: Future[Any]) -> tuple[News, ...]:
        error = future.exception()
        if error is None:
            found: tuple[News, ...] = future.result()
            return found
        if not isinstance(error, ElloptError):
            log.warning("a worker does not say how its tunings go: %s", error)
        return ()
