"""A site and tasks for the contract of executors, and what an executor needs to be made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellopt.core.errors import InfrastructureError
from ellopt.core.settings import OwnGroups
from ellopt.targets import find_target

#: the sites that were made elsewhere, in this process
SITES: list[Site] = []


@dataclass
class Site:
    """Counts tasks at work."""

    pool: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0
    most: int = 0
    target = find_target("pi3")
    directory = Path("unused")

    def recipe(self, builds: bool) -> Recipe:
        return Recipe()

    def count(self, change: int) -> None: ...

    def bundle(self, digest: str) -> Any: ...

    def keep(self, bundle: Any) -> None: ...


@dataclass(frozen=True)
class Recipe:
    """Makes a site elsewhere."""

    def settle(self, pool: object, directory: Path, sleep: Callable[[float], None]) -> Site:
        SITES.append(Site())
        return SITES[-1]


@dataclass(frozen=True)
class Double:
    number: int

    def run(self, site: Site) -> int:
        with site.lock:
            site.at_once += 1
            site.most = max(site.most, site.at_once)
        try:
            if self.number < 0:
                raise InfrastructureError(f"cannot double {self.number}")
            return 2 * self.number
        finally:
            with site.lock:
                site.at_once -= 1


@dataclass(frozen=True)
class Most:
    """How many were at work at once."""

    def run(self, site: Site) -> int:
        return site.most


@contextmanager
def place_for(executor: str, folder: Path, capacity: int) -> Iterator[tuple[Site, OwnGroups]]:
    """A site for the executor called so, and the executors' own settings."""
    if executor != "dask":
        yield Site(), OwnGroups()
        return
    from ellopt.measure.executors.dask.pool import open_pool
    from ellopt.measure.executors.dask.settings import FleetSettings
    from tests.support.fleet import ProcessFleet
    from tests.support.patience import eventually

    with ProcessFleet(folder) as fleet:
        boards = [f"board{number}" for number in range(capacity)]
        fleet.start_worker("worker", "--target", "pi3", "--ipaddress", *boards)
        assert eventually(lambda: fleet.is_there("worker"), 120), fleet.log("worker")
        settings = FleetSettings(fleet.address)
        with open_pool(settings, find_target("pi3"), 60) as pool:
            yield Site(pool), OwnGroups(settings)
