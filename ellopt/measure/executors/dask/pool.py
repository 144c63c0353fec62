"""The boards of all workers as a pool: how many there are, and what became of them. They are leased at the workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.base import Device, PoolReport
from ellopt.devices.listing import DeviceRow
from ellopt.devices.local import cpu_model
from ellopt.measure.executors.dask.connection import Connection
from ellopt.measure.executors.dask.fleet import Fleet
from ellopt.measure.executors.dask.listener import Listener
from ellopt.measure.executors.dask.offer import Offer, Wanted, our_version
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.targets import Target

log = logging.getLogger(__name__)


class FleetPool:
    """See ``DevicePool``. ``wanted``: the target, and the kind of its boards."""

    sends = 0  # what is built is sent to workers

    def __init__(self, fleet: Fleet, wanted: Wanted, emulated: bool) -> None:
        self.fleet, self.wanted, self.emulated = fleet, wanted, emulated
        self.listener = Listener(fleet)

    @property
    def capacity(self) -> int:
        """How many boards are offered now."""
        return max(1, sum(o.visits for o in self.fleet.offers.values() if not o.refusal(self.wanted)))

    @property
    def tunings(self) -> int:
        """How many models workers tune at once."""
        return sum(o.tunings for o in self.fleet.offers.values() if o.version == our_version())

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:
        raise InfrastructureError("the boards of a fleet are leased at its workers")
        yield

    def report(self) -> PoolReport:
        meant = [o for o in self.fleet.offers.values() if o.target or o.version != our_version()]
        set_aside = {offer.worker: why for offer in meant if (why := offer.refusal(self.wanted))}
        return PoolReport(0, self.fleet.losses, set_aside)

    def close(self) -> None:
        self.fleet.close()


@contextmanager
def open_pool(settings: FleetSettings, target: Target, patience: float) -> Iterator[FleetPool]:
    """The boards for ``target`` of the fleet, all of one kind: the one asked for, else that of which there are most.
    A machine that builds for itself builds for none with another processor.

    Waits ``patience`` seconds for the first worker. Raises ConfigurationError, with what each worker says, if none
    offers such boards, InfrastructureError if the scheduler does not answer or no worker comes.
    """
    with Fleet(settings, patience) as fleet:
        offers = _first_offers(fleet, patience)
        kind = settings.board_kind or (f"host {cpu_model()}" if target.is_host else "")
        wanted = _chosen(offers, Wanted(target.name, kind))
        emulated = any(offer.emulated for offer in offers.values() if not offer.refusal(wanted))
        for offer in offers.values():
            if (why := offer.refusal(wanted)) and offer.target:
                log.warning("the worker %s is not used: %s", offer.worker, why)
        yield FleetPool(fleet, wanted, emulated)


def list_offers(settings: FleetSettings, target: Target) -> list[DeviceRow]:
    """The boards of all workers, and those that only build. Raises as ``Connection.open``."""
    connection = Connection(settings, 0)
    connection.open()
    try:
        offers = connection.offers()
    finally:
        connection.close()
    wanted, rows = Wanted(target.name), []
    for offer in sorted(offers.values(), key=lambda offer: offer.worker):
        why = offer.refusal(wanted)
        state = "offered" if offer.version == our_version() else "other version"
        serves = [f"{what} {n} at once" for what, n in (("builds", offer.builds), ("tunes", offer.tunings)) if n]
        for board in offer.boards or (", ".join(serves),):
            name, remark = f"{offer.worker}: {board}", why if state != "offered" else offer.site
            rows.append(DeviceRow(name, state, "", offer.kind, not why, remark))
    return rows


def _first_offers(fleet: Fleet, patience: float) -> Mapping[str, Offer]:
    until = time.monotonic() + patience
    if not fleet.offers:
        log.warning("the scheduler has no worker that 'ellopt worker' started: waiting for one")
    while not fleet.offers:
        if time.monotonic() > until:
            raise InfrastructureError(f"no 'ellopt worker' has come to the scheduler within {patience:g} s")
        time.sleep(0.1)
    return fleet.offers


def _chosen(offers: Mapping[str, Offer], wanted: Wanted) -> Wanted:
    """``wanted`` with a kind of board."""
    counts: dict[str, int] = {}
    for offer in offers.values():
        if not offer.refusal(wanted):
            counts[offer.kind] = counts.get(offer.kind, 0) + offer.visits
    if not counts:
        reasons = "; ".join(sorted({f"{o.worker}: {o.refusal(wanted)}" for o in offers.values()}))
        kind = f" of the kind {wanted.kind!r}" if wanted.kind else ""
        raise ConfigurationError(f"--target {wanted.target}: no worker of the fleet has boards{kind}: {reasons}")
    return Wanted(wanted.target, max(counts, key=lambda kind: (counts[kind], kind)))
