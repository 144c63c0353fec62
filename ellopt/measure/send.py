"""What goes to boards while the rest of a bundle is being built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.devices.base import DevicePool, DistantDevice
from ellopt.measure.executors.threads import ThreadsExecutor

_LONGEST = 180.0


@dataclass(frozen=True)
class SendTask:
    """A file for one device of a pool, which is held meanwhile: nothing is measured there."""

    data: bytes

    def run(self, pool: DevicePool) -> None:
        """Raises as ``DevicePool.lease`` and ``DistantDevice.send``."""
        with pool.lease(Deadline.after(_LONGEST)) as device:
            if isinstance(device, DistantDevice):
                device.send(self.data, Deadline.after(_LONGEST))


class Sender:
    """Sends files to as many devices of ``pool`` as it ``sends``, side by side, while whoever builds goes on.

    Whoever leases such a device waits until it has its files. What does not arrive is not missed: a bundle is sent with
    all that is not there. That a device failed, its pool knows.
    """

    def __init__(self, pool: DevicePool) -> None:
        self._pool = pool
        self._threads: ThreadsExecutor[DevicePool] | None = None

    def send(self, file: Path) -> None:
        """A file that is read at once, and sent afterwards."""
        count = self._pool.sends
        if not count:
            return
        if self._threads is None:
            self._threads = ThreadsExecutor(self._pool, count)
        task = SendTask(file.read_bytes())
        for _ in range(count):
            self._threads.submit(task)

    def rest(self) -> None:
        """Wait for what is under way."""
        if self._threads is not None:
            self._threads.rest()
