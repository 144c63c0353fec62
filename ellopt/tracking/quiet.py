"""Keeps tracking still while something is measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ellopt.core.deadline import Deadline
from ellopt.devices.base import Device, DevicePool, PoolReport


class QuietPool:
    """A pool whose leases of this machine (also to emulate a board) hold ``quiet``. Boards elsewhere do not care."""

    def __init__(self, pool: DevicePool, quiet: Callable[[], AbstractContextManager[None]]) -> None:
        self._pool = pool
        self._quiet = quiet
        self.capacity = pool.capacity
        self.emulated = pool.emulated
        self.sends = pool.sends

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:
        """As the pool's own."""
        with self._pool.lease(deadline) as device:
            if device.here:
                with self._quiet():
                    yield device
            else:
                yield device

    def report(self) -> PoolReport:
        return self._pool.report()

    def close(self) -> None:
        self._pool.close()
