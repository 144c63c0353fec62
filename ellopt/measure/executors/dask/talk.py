"""Long work at a worker speaks with its client: it is told at its beginning what is known, and says what it finds out.

Dask runs work again, elsewhere, whose worker has gone. Each such attempt has a name of its own, and what it says is
numbered: so the client takes each text once, in order, and from the latest attempt only. The client asks for news; what
it does not ask for, or what its worker takes to the grave, it has not heard, and the next attempt does not know of it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from ellopt.measure.executors.dask.stopping import current


@dataclass(frozen=True)
class News:
    """What the attempt ``attempt`` at the work called ``work`` has said: texts from number ``first`` on."""

    work: str
    attempt: str
    first: int = 0
    texts: tuple[str, ...] = ()


class Talk:
    """The worker's part. Its methods may be called from several threads."""

    def __init__(self, work: str) -> None:
        self.work, self.attempt = work, uuid.uuid4().hex
        self._lock = threading.Lock()
        self._first = 0
        self._texts: list[str] = []
        self._told = b""
        self._answered = threading.Event()

    def say(self, text: str) -> None:
        with self._lock:
            self._texts.append(text)

    def told(self, data: bytes) -> None:
        self._told = data
        self._answered.set()

    def hear(self) -> bytes:
        """What the client says at the beginning. Raises UnwantedError if it has gone."""
        with current().ending(self._answered.set):
            self._answered.wait()
            current().check()
        return self._told

    def news(self, heard: int) -> News:
        """All that was said after the first ``heard`` texts, which are thrown away."""
        with self._lock:
            done = max(0, min(heard - self._first, len(self._texts)))
            self._first += done
            del self._texts[:done]
            return News(self.work, self.attempt, self._first, tuple(self._texts))


class Talks:
    """All work at a place that speaks with its client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._talks: dict[str, Talk] = {}

    @contextmanager
    def about(self, work: str) -> Iterator[Talk]:
        talk = Talk(work)
        with self._lock:
            self._talks[talk.attempt] = talk
        try:
            yield talk
        finally:
            with self._lock:
                del self._talks[talk.attempt]

    def tell(self, attempt: str, data: bytes) -> bool:
        with self._lock:
            talk = self._talks.get(attempt)
        if talk is not None:
            talk.told(data)
        return talk is not None

    def news(self, works: frozenset[str], heard: Mapping[str, int]) -> tuple[News, ...]:
        with self._lock:
            talks = [talk for talk in self._talks.values() if talk.work in works]
        return tuple(talk.news(heard.get(talk.attempt, 0)) for talk in talks)


class TalkingPlace(Protocol):
    """Where work runs that speaks with its client."""

    talks: Talks


@dataclass(frozen=True)
class Listen:
    """Asks a worker for news of ``works``. ``heard``: attempt -> how many of its texts arrived."""

    works: frozenset[str]
    heard: Mapping[str, int] = field(default_factory=dict)

    def run(self, place: TalkingPlace) -> tuple[News, ...]:
        return place.talks.news(self.works, self.heard)


@dataclass(frozen=True)
class Tell:
    """Tells an attempt at its beginning what is known; False if it is not there."""

    attempt: str
    data: bytes

    def run(self, place: TalkingPlace) -> bool:
        return place.talks.tell(self.attempt, self.data)
