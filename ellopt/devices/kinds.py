"""Kinds of devices: a row for each says when it is meant, how its devices are had, and what settings it brings.

What a kind needs is imported when it is opened: the command line reads this table whenever it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ellopt.devices.settings import DeviceSettings
from ellopt.targets import Target

if TYPE_CHECKING:
    from ellopt.devices.base import DevicePool
    from ellopt.devices.pool.leasing import Pace

Open = Callable[[DeviceSettings, Target, "Pace | None"], AbstractContextManager["DevicePool"]]


@dataclass(frozen=True)
class DeviceKind:
    """``meant``: whether the settings mean devices of this kind for a target. ``opened_by``: what gives the pool of
    them, or its import path (``module:name``); the pool is closed as a context. The built-in kinds share what stands in
    DeviceSettings; ``settings`` is a frozen group of a kind's own, made of ``core.settings.setting``: it is in
    ``DeviceSettings.own``, and its fields are options."""

    name: str
    meant: Callable[[DeviceSettings, Target], bool]
    opened_by: Open | str
    settings: type | None = None

    def open(self, settings: DeviceSettings, target: Target, pace: Pace | None) -> AbstractContextManager[DevicePool]:
        """The pool of the devices that the settings mean. Raises ConfigurationError, InfrastructureError."""
        if not isinstance(self.opened_by, str):
            return self.opened_by(settings, target, pace)
        module, _, name = self.opened_by.partition(":")
        found: Any = getattr(import_module(module), name)
        pool: AbstractContextManager[DevicePool] = found(settings, target, pace)
        return pool


#: The first that is meant is used.
DEVICE_KINDS: list[DeviceKind] = [
    DeviceKind("cluster", lambda settings, target: bool(settings.cluster), "ellopt.devices.cluster.source:open_pool"),
    DeviceKind("ssh", lambda settings, target: bool(settings.addresses), "ellopt.devices.ssh.source:open_pool"),
    DeviceKind("local", lambda settings, target: target.is_host, "ellopt.devices.local:open_pool"),
    DeviceKind("emulator", lambda settings, target: settings.emulate, "ellopt.devices.emulator:open_pool"),
    DeviceKind(
        "estimated", lambda settings, target: settings.simulator is not None, "ellopt.devices.estimated:open_pool"
    ),
]
