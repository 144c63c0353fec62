"""What the contract suite of devices needs of a kind: a module of its name for each row of DEVICE_KINDS.

Its ``BENCHES`` are ways to have one such device: each makes the settings that mean it, a bundle that it can run, and
says where the device keeps files. Whatever has to end goes on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from ellopt.devices.bundle import Bundle
from ellopt.devices.settings import DeviceSettings


@dataclass(frozen=True)
class Bench:
    """``place``: where the device keeps files, None if nothing of them can be seen. ``at_end``: what is asserted when
    the pool is closed."""

    settings: DeviceSettings
    bundle: Bundle
    place: Path | None = None
    at_end: Callable[[], None] = lambda: None


MakeBench = Callable[[pytest.FixtureRequest, Path, ExitStack], Bench]


def benches_of(kind: str) -> Mapping[str, MakeBench]:
    """The benches of a kind of device, by name. Raises ModuleNotFoundError if nobody wrote one."""
    found: Mapping[str, MakeBench] = import_module(f"{__name__}.{kind}").BENCHES
    return found
