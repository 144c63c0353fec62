"""The place where tasks run: it has the devices, the toolchain and the bundles. It never travels, tasks do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.devices.base import Device, DevicePool
from ellopt.devices.bundle import Bundle
from ellopt.measure.pauses import REMEMBERED, Seen, granted, wait_between
from ellopt.measure.send import Sender
from ellopt.model.graph import Model
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain


@dataclass(frozen=True)
class SiteRecipe:
    """What a site is made of where there are devices: a value, which can be sent. Without a model nothing is built."""

    toolchain: Toolchain
    target: Target
    model: Model | None

    def settle(self, pool: DevicePool, directory: Path, sleep: Callable[[float], None] = time.sleep) -> MeasureSite:
        """The site with the devices of ``pool`` and its files in ``directory``; ``sleep`` waits between visits."""
        return MeasureSite(cast(Model, self.model), self.toolchain, pool, self.target, directory, sleep)


class MeasureSite:
    """What builds and visits of one model for one target need. Safe to use from several threads.

    ``changed`` is called when a device is taken or given back.
    """

    def __init__(
        self,
        model: Model,
        toolchain: Toolchain,
        pool: DevicePool,
        target: Target,
        directory: Path,
        sleep: Callable[[float], None] = time.sleep,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.toolchain, self.pool, self.target = model, toolchain, pool, target
        self.directory, self.sleep = directory, sleep
        self._changed = changed
        self._lock = threading.Lock()
        self._bundles: dict[str, Bundle] = {}
        self._measured_at: dict[str, float] = {}  # device -> when its last measurement began
        self._seen: dict[str, deque[Seen]] = {}  # device -> what its last measurements showed
        self._waited: dict[str, float] = {}  # device -> seconds of pauses before its measurements
        self._busy = 0
        self._sender = Sender(pool)

    @property
    def busy(self) -> int:
        """How many devices are held now."""
        return self._busy

    def recipe(self, builds: bool) -> SiteRecipe:
        """What makes such a site elsewhere; only builds need the model."""
        return SiteRecipe(self.toolchain, self.target, self.model if builds else None)

    def keep(self, bundle: Bundle) -> None:
        with self._lock:
            self._bundles[bundle.digest] = bundle

    def bundle(self, digest: str) -> Bundle:
        """The bundle of this digest. Raises InfrastructureError if it is not here."""
        with self._lock:
            found = self._bundles.get(digest)
        if found is None:
            raise InfrastructureError(f"the bundle {digest[:12]} is not here")
        return found

    def send(self, file: Path) -> None:
        """Begin to send a file of a bundle that is being built to the devices that will need it."""
        self._sender.send(file)

    def rest(self) -> None:
        """Wait for what is being sent."""
        self._sender.rest()

    @contextmanager
    def lease(self, seconds: float) -> Iterator[Device]:
        """A device for the length of the ``with``, as ``DevicePool.lease``, waiting at most for ``seconds``."""
        with self.pool.lease(Deadline.after(seconds)) as device:  # a pool bounds the wait itself
            self.count(+1)
            try:
                yield device
            finally:
                self.count(-1)

    def space_measurements(self, device: Device, spacing: float | None, deadline: Deadline) -> float:
        """Wait until ``spacing`` seconds after the last measurement began on ``device``; with None as long as what
        measurements there showed demands, within what all pauses together may take (``pauses``). What slows a machine
        for a moment then does not meet all visits. Returns the seconds that were waited."""
        with self._lock:
            last = self._measured_at.get(device.name)
            seen, waited = tuple(self._seen.get(device.name, ())), self._waited.get(device.name, 0.0)
        wait = 0.0
        if last is not None and device.times == "real":
            apart = wait_between(seen) if spacing is None else spacing
            wait = max(0.0, min(last + apart - time.monotonic(), deadline.remaining))
            if spacing is None:
                wait = granted(wait, waited)
            if wait > 0:
                self.sleep(wait)
        with self._lock:
            self._measured_at[device.name] = time.monotonic()
            self._waited[device.name] = waited + wait
        return wait

    def remember(self, device: Device, seen: Seen) -> None:
        """What a measurement on ``device`` showed: the pause before the next one follows from it."""
        with self._lock:
            self._seen.setdefault(device.name, deque(maxlen=REMEMBERED)).append(seen)

    def count(self, change: int) -> None:
        """So many more devices are held now."""
        with self._lock:
            self._busy += change
        self._changed()
