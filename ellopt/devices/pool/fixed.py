"""Devices that are always there, as the source of a pool: this machine, emulators, replayed boards."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ellopt.core.deadline import Deadline
from ellopt.devices.base import AbortableDevice


class FixedHolding:
    """A device that needs no release."""

    def __init__(self, device: AbortableDevice, source: FixedSource) -> None:
        self.device = device
        self.name = device.name
        self._source = source

    def still_ours(self) -> bool:
        return True

    def release(self) -> None:
        self.device.rearm()
        self._source.give_back(self.device)

    def abort(self) -> None:
        self.device.abort()


class FixedSource:
    """Hands out ``devices``, each to one holder at a time."""

    shared = False
    distant = False

    def __init__(self, devices: Sequence[AbortableDevice]) -> None:
        self._free = list(devices)
        self.size = len(devices)
        self.emulated = any(device.times == "emulated" for device in devices)
        self._lock = threading.Lock()

    def acquire(self, avoid: frozenset[str], deadline: Deadline) -> FixedHolding | None:
        with self._lock:
            for index, device in enumerate(self._free):
                if device.name not in avoid:
                    return FixedHolding(self._free.pop(index), self)
        return None

    def give_back(self, device: AbortableDevice) -> None:
        with self._lock:
            self._free.append(device)

    def waiting_for(self) -> str:
        return f"{self.size} devices, all in use or set aside"

    def close(self) -> None:
        """Nothing is held."""
