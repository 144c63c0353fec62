"""How one model is run: by which options, for what, on what, with how many threads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.plan import Plan
from ellopt.devices.base import Device
from ellopt.devices.emulator import EmulatedDevice
from ellopt.devices.local import LocalPool
from ellopt.targets import Target, find_target

#: A device, or what leases one once the program is built; None: this machine, or the emulator.
UsedDevice = Device | Callable[[], AbstractContextManager[Device]] | None

#: how long one run may take
RUN_SECONDS = 600.0


@dataclass(frozen=True)
class RunSettings:
    """``options`` is a plan or a ``compile_options.json``; the default is what the model says, and ELL's default where
    it says nothing. ``device`` defaults to this machine or the target's emulator, ``directory`` (where the bundle is
    built and kept) to a temporary one. ``threads``: 0 means all cores of the target.
    """

    options: Plan | Path | None = None
    target: Target = field(default_factory=lambda: find_target("host"))
    device: UsedDevice = None
    directory: Path | None = None
    threads: int = 0


@contextmanager
def bundle_directory(directory: Path | None) -> Iterator[Path]:
    """``directory``, or a temporary one for the length of a ``with``."""
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="ellopt-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def used_device(device: UsedDevice, target: Target) -> Iterator[Device]:
    """``device``, or one of this machine or its emulator, for the length of a ``with``."""
    if callable(device):
        with device() as leased:
            yield leased
        return
    if device is not None:
        yield device
        return
    if not target.is_host:
        yield EmulatedDevice(target)
        return
    with LocalPool() as pool, pool.lease(Deadline.after(RUN_SECONDS)) as local:
        yield local
