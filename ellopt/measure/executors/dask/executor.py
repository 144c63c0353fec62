"""Runs tasks at the workers of a fleet."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ellopt.core.errors import InfrastructureError, UnwantedError
from ellopt.devices.bundle import Bundle
from ellopt.measure.build import BuildTask
from ellopt.measure.executors.base import Task
from ellopt.measure.executors.dask.answer import Answer
from ellopt.measure.executors.dask.archive import pack
from ellopt.measure.executors.dask.fleet import Errand
from ellopt.measure.executors.dask.offer import build_resource, our_version, visit_resource
from ellopt.measure.executors.dask.pool import FleetPool
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.executors.dask.values import to_json
from ellopt.measure.executors.dask.work import Order, Parcel
from ellopt.measure.executors.threads import ThreadsExecutor
from ellopt.measure.results import VisitResult
from ellopt.measure.visit import VisitTask
from ellopt.targets import Target


class TravellingSite(Protocol):
    """A site that can be made elsewhere, too. Its pool is a FleetPool."""

    pool: Any
    target: Target
    directory: Path

    def recipe(self, builds: bool) -> Any: ...

    def bundle(self, digest: str) -> Bundle: ...

    def keep(self, bundle: Bundle) -> None: ...

    def count(self, change: int) -> None: ...


Site = TypeVar("Site", bound=TravellingSite)
Result = TypeVar("Result")


class DaskExecutor(Generic[Site]):
    """See ``Executor``. Visits go to workers with boards, builds to workers that build; where none does, builds are
    made here."""

    at_once = False

    def __init__(self, site: Site, capacity: int, settings: FleetSettings) -> None:
        self._site = site
        self._pool: FleetPool = site.pool
        self._near: ThreadsExecutor[Site] = ThreadsExecutor(site, 1)
        self._lock = threading.Lock()
        self._recipes: dict[bool, Parcel] = {}
        self._under_way: set[Future[Any]] = set()

    @property
    def capacity(self) -> int:
        return self._pool.capacity

    @property
    def ahead(self) -> int:
        """One for each board: it lies at a worker when a visit ends, and no board waits for the way to us and back."""
        return self._pool.capacity

    def submit(self, task: Task[Site, Result]) -> Future[Result]:
        builds = isinstance(task, BuildTask)
        if builds and not self._builders():
            return self._near.submit(task)
        recipe = self._recipe(builds)
        order = Order(pickle.dumps(_plain(task)), recipe.digest, getattr(task, "needs", ()))
        resource = build_resource(our_version()) if builds else visit_resource(self._pool.wanted, our_version())
        errand = Errand(order, resource, lambda answer: self._read(task, answer), self._parcel)
        if isinstance(task, VisitTask):
            errand.until = time.monotonic() + task.seconds
        with self._lock:
            self._under_way.add(errand.result)
        if not builds:
            self._site.count(+1)
        errand.result.add_done_callback(lambda done: self._ended(done, builds))
        self._pool.fleet.ask(errand)
        return errand.result

    def rest(self) -> None:
        while True:
            with self._lock:
                waiting = next(iter(self._under_way), None)
            if waiting is None:
                break
            waiting.exception()
        self._near.rest()

    def _ended(self, future: Future[Any], build: bool) -> None:
        with self._lock:
            self._under_way.discard(future)
        if not build:
            self._site.count(-1)

    def _builders(self) -> bool:
        """Whether a worker builds for our target; what is built for a machine itself depends on the machine."""
        offers = self._pool.fleet.offers.values()
        return not self._site.target.is_host and any(o.builds for o in offers if o.version == our_version())

    def _read(self, task: Task[Site, Any], answer: Answer) -> Any:
        site = self._site
        result = answer.result_of(task, site.target)
        if isinstance(task, BuildTask):
            result = answer.bundles(task, result, site.recipe(False).toolchain.name, site.directory)
            for built in result.built:
                if isinstance(built, Bundle):
                    site.keep(built)
        elif isinstance(result, VisitResult) and isinstance(result.error, UnwantedError):
            raise result.error  # no board failed
        elif isinstance(result, VisitResult) and result.device:
            result = replace(result, device=f"{answer.worker}: {result.device}")
        return result

    def _recipe(self, builds: bool) -> Parcel:
        with self._lock:
            if builds not in self._recipes:
                data = pickle.dumps(self._site.recipe(builds))
                self._recipes[builds] = Parcel(hashlib.sha256(data).hexdigest(), data)
            return self._recipes[builds]

    def _parcel(self, digest: str) -> Parcel:
        """What a worker lacks. Raises InfrastructureError for what is not here either."""
        with self._lock:
            recipes = {parcel.digest: parcel for parcel in self._recipes.values()}
        if digest in recipes:
            return recipes[digest]
        bundle = self._site.bundle(digest)
        try:
            return Parcel(digest, pack(bundle.path), json.dumps(to_json(bundle)))
        except OSError as error:
            raise InfrastructureError(f"the bundle {digest[:12]} cannot be sent: {error}") from error


def _plain(task: Any) -> Any:
    """``task`` without settings that are nobody's business elsewhere."""
    if isinstance(task, VisitTask):
        return replace(task, limits=replace(task.limits, own=type(task.limits.own)()))
    return task
