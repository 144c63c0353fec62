"""What is done at a worker: it keeps what was sent to it, by hash, and runs tasks there."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ElloptError, InfrastructureError
from ellopt.devices.base import Device, DevicePool, PoolReport
from ellopt.devices.bundle import Bundle
from ellopt.measure.build import BuildResult
from ellopt.measure.executors.dask.archive import pack, unpack
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.executors.dask.stopping import StoppablePool, Watch, sleep
from ellopt.measure.executors.dask.talk import Talks
from ellopt.measure.executors.dask.values import from_json, to_json

#: What no task has needed for so long, in seconds, is thrown away.
KEEP_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Order:
    """A task, pickled, with the hashes of the recipe of its site and of the bundles that it needs there. Without a
    recipe its site is the place itself."""

    task: bytes
    recipe: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parcel:
    """A pickled recipe, or a bundle: its directory, packed, and what is to be said of it as JSON."""

    digest: str
    data: bytes
    bundle: str = ""


@dataclass
class _Kept:
    """``thing``: a site, or what is said of a bundle."""

    thing: Any
    directory: Path
    used: float = field(default_factory=time.monotonic)


class Place:
    """A worker's part of the fleet: its devices (None if it has none) and what it keeps below ``directory``.

    ``fleet``: how it reaches the scheduler. ``talks``: with the clients of long work.
    """

    def __init__(self, name: str, pool: DevicePool | None, directory: Path, fleet: FleetSettings | None = None) -> None:
        self.name, self.directory, self.fleet = name, directory, fleet or FleetSettings()
        self.talks = Talks()
        self.pool = StoppablePool(pool or NoDevices())
        self.watch = Watch()
        self._lock = threading.Lock()
        self._sites: dict[str, _Kept] = {}
        self._bundles: dict[str, _Kept] = {}

    def missing(self, order: Order) -> tuple[str, ...]:
        """Of what ``order`` needs, what never arrived here."""
        with self._lock:
            recipe = () if not order.recipe or order.recipe in self._sites else (order.recipe,)
            return (*recipe, *(digest for digest in order.needs if digest not in self._bundles))

    def keep(self, parcel: Parcel) -> None:
        """Unpack what was sent."""
        self._tidy()
        place = self.directory / parcel.digest[:32]
        if parcel.bundle:
            unpack(parcel.data, place)
            with self._lock:
                self._bundles[parcel.digest] = _Kept(json.loads(parcel.bundle), place)
            return
        site = pickle.loads(parcel.data).settle(self.pool, place, sleep)
        with self._lock:
            self._sites.setdefault(parcel.digest, _Kept(site, place))

    def run(self, order: Order) -> tuple[Any, tuple[bytes, ...]]:
        """Run the task of ``order``, of which nothing is missing: its result, and the bundles that it built."""
        if not order.recipe:
            return pickle.loads(order.task).run(self), ()
        with self._lock:
            kept = [self._sites[order.recipe], *(self._bundles[digest] for digest in order.needs)]
            for each in kept:
                each.used = time.monotonic()
        site = kept[0].thing
        for each in kept[1:]:
            site.keep(replace(from_json(Bundle, each.thing, site.target), path=each.directory))
        result = pickle.loads(order.task).run(site)
        if not isinstance(result, BuildResult):
            return result, ()
        bundles = [built for built in result.built if isinstance(built, Bundle)]
        with self._lock:
            for bundle in bundles:
                self._bundles.setdefault(bundle.digest, _Kept(to_json(bundle), bundle.path))
        return result, tuple(pack(bundle.path) for bundle in bundles)

    def _tidy(self) -> None:
        """Throw away what nobody has used for long."""
        since = time.monotonic() - KEEP_SECONDS
        with self._lock:
            old = [
                (kind, digest) for kind in (self._sites, self._bundles) for digest, k in kind.items() if k.used < since
            ]
            gone = [kind.pop(digest).directory for kind, digest in old]
        for directory in gone:
            shutil.rmtree(directory, ignore_errors=True)


class NoDevices:
    """The pool of a place without devices."""

    capacity = 1
    emulated = False
    sends = 0

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:
        raise InfrastructureError("there are no devices here")
        yield

    def report(self) -> PoolReport:
        return PoolReport()

    def close(self) -> None:
        """There is nothing to end."""


_place: Place | None = None


def settle(place: Place | None) -> None:
    """This process is a worker of the fleet, at ``place``."""
    global _place
    if _place is not None:
        _place.watch.close()
    _place = place


def receive(parcel: Parcel) -> None:
    """Runs at a worker: keep what was sent."""
    if _place is not None:
        _place.keep(parcel)


def _wanted() -> Callable[[], bool]:
    """Whether somebody waits for what this thread does: Dask leaves it running when its client goes or cancels it, and
    when the worker has lost its scheduler."""
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        there = worker.status in (Status.running, Status.paused)
        return there and task is not None and task.state != "cancelled"

    return wanted


def perform(order: Order, address: str = "") -> tuple[bytes, ...]:
    """Runs at a worker: what came of ``order`` as JSON, then the bundles that were built, packed.

    The JSON has ``missing`` (nothing was done: these must be sent first), or ``result``, or ``error`` (one that is
    raised on purpose), or ``bug``, and always the worker's name and address.
    """
    from distributed import get_worker

    answer: dict[str, Any] = {"worker": "", "address": get_worker().address, "visit": uuid.uuid4().hex}
    archives: tuple[bytes, ...] = ()
    if _place is None:
        answer["error"] = to_json(InfrastructureError("this Dask worker was not started by 'ellopt worker'"))
        return (json.dumps(answer).encode(),)
    answer["worker"] = _place.name
    try:
        if missing := _place.missing(order):
            answer["missing"] = missing
        else:
            with _place.watch.over(_wanted()):
                result, archives = _place.run(order)
            answer["result"] = to_json(result)
    except ElloptError as error:
        answer["error"] = to_json(error)
    except Exception:  # it is the asker's to stop for it
        answer["bug"] = traceback.format_exc()
    return (json.dumps(answer).encode(), *archives)
