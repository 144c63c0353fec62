"""Carries orders to the workers of a fleet, and their answers back, whatever happens on the way."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from ellopt.core.errors import DeadlineExceeded, ElloptError, InfrastructureError, UnwantedError
from ellopt.measure.executors.dask.answer import Answer
from ellopt.measure.executors.dask.connection import Connection
from ellopt.measure.executors.dask.offer import Offer
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.executors.dask.work import Order, Parcel, perform, receive

log = logging.getLogger(__name__)

#: How often an order is sent again that was lost with the worker, or with the scheduler.
MOST_LOSSES = 5
_LOOK_SECONDS = 1.0
#: What fetching an answer raises when it is gone, together with a worker or the scheduler.
_GONE = (OSError, TimeoutError, RuntimeError, ValueError, KeyError, CancelledError)


def _no_parcel(digest: str) -> Parcel:
    raise InfrastructureError("nothing is to be sent with this order")


@dataclass(eq=False)
class Errand:
    """An order under way. ``resource``: what a worker must offer, if anything; ``worker``: the address of the one that
    it is meant for, where that matters. ``parcel`` makes what a worker lacks, by hash; ``read`` makes the result of an
    answer, or raises what is wrong with it; ``result`` gets either. ``until``: when nobody wants it any more, by
    ``time.monotonic``: it may wait behind others for longer than they that made it thought."""

    order: Order
    resource: str
    read: Callable[[Answer], Any]
    parcel: Callable[[str], Parcel] = _no_parcel
    worker: str = ""
    result: Future[Any] = field(default_factory=Future)
    sent: Any = None  # Dask's future
    parcels: set[str] = field(default_factory=set)  # keys of parcels that it waits for
    losses: int = 0
    unoffered_since: float | None = None
    until: float = math.inf


class Fleet:
    """One thread does all that is done here, and runs what waits for results. Closes in a ``with``.

    ``patience``: seconds for which nobody may offer what an order needs, and for which the scheduler may be away.
    Raises as ``Connection.open``.
    """

    def __init__(self, settings: FleetSettings, patience: float) -> None:
        self._patience = patience
        self._connection = Connection(settings, patience)
        self._connection.open()
        self.offers: Mapping[str, Offer] = self._connection.offers()
        self.losses = 0
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._errands: set[Errand] = set()
        self._stranded: set[Errand] = set()
        #: (worker, hash) -> Dask's future, and who waits
        self._travelling: dict[tuple[str, str], tuple[Any, list[Errand]]] = {}
        self._arrivals: list[tuple[Errand, Any]] = []  # answers that can be fetched
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="fleet", daemon=True)
        self._thread.start()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, errand: Errand) -> None:
        """Begin with ``errand``."""
        self._events.put(lambda: self._begin(errand))
        if self._closed:  # perhaps nobody takes events any more
            self._drain()

    def close(self) -> None:
        """End: whoever waits for a result gets an InfrastructureError. May be called twice."""
        if not self._closed:
            self._closed = True
            self._events.put(lambda: None)
            if threading.current_thread() is not self._thread:
                self._thread.join(20)

    # --- on the fleet's own thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        looked = time.monotonic()
        error: BaseException = InfrastructureError("the fleet was left")
        try:
            while not self._closed:
                with contextlib.suppress(queue.Empty):
                    self._events.get(timeout=_LOOK_SECONDS)()
                    while not self._closed:
                        self._events.get_nowait()()
                self._take_in()
                if time.monotonic() - looked > _LOOK_SECONDS:
                    self._look()
                    looked = time.monotonic()
        except Exception as bug:  # whoever waits gets it
            error = bug
        self._closed = True
        self._connection.close()  # workers see that nobody waits any more, and end what runs
        for errand in list(self._errands):
            self._end(errand, error=error)
        self._drain()

    def _drain(self) -> None:
        """What was asked for meanwhile comes too late."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()()

    def _begin(self, errand: Errand) -> None:
        if self._closed:
            errand.result.set_exception(InfrastructureError("the fleet was left"))
            return
        self._errands.add(errand)
        self._send(errand)

    def _send(self, errand: Errand) -> None:
        if self._closed:  # what the end of the connection took along is not sent by a new one
            return
        client = self._connection.client()
        if client is None:
            self._stranded.add(errand)
            return
        key = f"ellopt-{uuid.uuid4().hex}"
        try:
            where: dict[str, Any] = {"workers": [errand.worker], "allow_other_workers": True} if errand.worker else {}
            if errand.resource:
                where["resources"] = {errand.resource: 1}
            sent = client.submit(perform, errand.order, key=key, pure=False, **where)
        except _GONE as error:  # at this moment
            log.debug("nothing can be sent: %s", error)
            self._stranded.add(errand)
            return
        errand.sent = sent
        sent.add_done_callback(lambda done: self._events.put(lambda: self._came(errand, done)))

    def _came(self, errand: Errand, sent: Any) -> None:
        """Dask has done with ``sent``: there is an answer, or it was lost."""
        if errand.sent is not sent or errand not in self._errands:
            return
        errand.sent = None
        if sent.status == "finished":
            self._arrivals.append((errand, sent))
        else:
            self._failed(errand, sent)
            sent.release()

    def _take_in(self) -> None:
        """Fetch the answers that have come, all at once: one by one each would wait for its own way to and fro."""
        arrivals, self._arrivals = self._arrivals, []
        texts: list[Any] | None = None
        if len(arrivals) > 1:
            with contextlib.suppress(*_GONE):  # one is gone: which, shows when they are fetched one by one
                texts = arrivals[0][1].client.gather([sent for _, sent in arrivals])
        for number, (errand, sent) in enumerate(arrivals):
            try:
                answer = Answer.read(sent.result(timeout=60) if texts is None else texts[number])
            except _GONE as error:  # with whoever had it
                self._lost(errand, str(error) or type(error).__name__)
            else:
                self._answered(errand, answer)
            sent.release()

    def _answered(self, errand: Errand, answer: Answer) -> None:
        if answer.missing:
            self._supply(errand, answer)
            return
        try:
            result = errand.read(answer)
        except UnwantedError:  # we want it: it is the worker that ends
            self._lost(errand, f"the worker {answer.worker} ended it")
        except ElloptError as error:
            self._end(errand, error=error)
        except RuntimeError as bug:
            self._end(errand, error=bug)
        else:
            self._end(errand, result)

    def _supply(self, errand: Errand, answer: Answer) -> None:
        """Send to the worker what it lacks, each once, and then the order again."""
        client = self._connection.client()
        if client is None:
            self._stranded.add(errand)
            return
        for digest in answer.missing:
            key = (answer.address, digest)
            if key not in self._travelling:
                try:
                    sent = client.submit(
                        receive, errand.parcel(digest), workers=[answer.address], allow_other_workers=True,
                        key=f"ellopt-parcel-{uuid.uuid4().hex}", pure=False,
                    )  # fmt: skip
                except ElloptError as error:
                    self._end(errand, error=error)
                    return
                except _GONE as error:
                    log.debug("nothing can be sent: %s", error)
                    errand.parcels.clear()
                    self._stranded.add(errand)
                    return
                self._travelling[key] = (sent, [])
                sent.add_done_callback(lambda _, key=key: self._events.put(lambda: self._arrived(key)))
            self._travelling[key][1].append(errand)
            errand.parcels.add(digest)

    def _arrived(self, key: tuple[str, str]) -> None:
        sent, waiting = self._travelling.pop(key)
        for errand in waiting:
            errand.parcels.discard(key[1])
            if errand in self._errands and not errand.parcels and errand.sent is None:
                if sent.status == "finished":
                    self._send(errand)
                else:
                    self._failed(errand, sent)
        sent.release()

    def _failed(self, errand: Errand, sent: Any) -> None:
        """Dask has no result: what ran it is gone, or there is a bug in what ran."""
        from distributed import KilledWorker

        if sent.status != "error":
            self._lost(errand, f"Dask says {sent.status}")
            return
        try:
            error = sent.exception(timeout=60)
        except _GONE as gone:
            error = OSError(str(gone))
        if isinstance(error, (KilledWorker, OSError)):
            self._lost(errand, str(error) or type(error).__name__)
        else:
            self._end(errand, error=RuntimeError(f"at a worker: {type(error).__name__}: {error}"))

    def _lost(self, errand: Errand, why: str) -> None:
        errand.losses += 1
        self.losses += 1
        if errand.losses > MOST_LOSSES:
            self._end(errand, error=InfrastructureError(f"work was lost {errand.losses} times with its worker: {why}"))
            return
        log.warning("work was lost with its worker or scheduler, and is sent again: %s", why)
        self._send(errand)

    def _look(self) -> None:
        """See who is there, send what could not be sent, give up what nobody offers any more."""
        self.offers = self._connection.offers()
        if self._connection.client() is None:
            return
        stranded, self._stranded = self._stranded, set()
        for errand in stranded & self._errands:
            self._send(errand)
        offered = {name for offer in self.offers.values() for name in offer.resources}
        now = time.monotonic()
        for errand in list(self._errands):
            if now > errand.until:
                self._cancel(errand)
                self._end(errand, error=DeadlineExceeded("the time limit was reached before a visit had ended"))
            elif not errand.resource or errand.resource in offered:
                errand.unoffered_since = None
            elif errand.unoffered_since is None:
                errand.unoffered_since = now
            elif now - errand.unoffered_since > self._patience:
                self._cancel(errand)
                why = f"no worker has offered {errand.resource!r} for {self._patience:.0f} s (--board_timeout)"
                self._end(errand, error=InfrastructureError(why))

    def _cancel(self, errand: Errand) -> None:
        sent, errand.sent = errand.sent, None
        if sent is not None and sent.client.status == "running":
            sent.cancel()

    def _end(self, errand: Errand, result: Any = None, error: BaseException | None = None) -> None:
        self._errands.discard(errand)
        if error is None:
            errand.result.set_result(result)
        else:
            errand.result.set_exception(error)
