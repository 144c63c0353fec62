"""Kinds of devices: a row for each says when it is meant, how its devices are had, and what settings it brings.

What a kind needs is imported when it is opened: the command line reads this table whenever it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ellopt.devices.settings import DeviceSettings
from ellopt.targets import Target

if TYPE_CHECKING:
    from ellopt.devices.base import DevicePool
    from ellopt.devices.local import LocalPool
    from ellopt.devices.pool.leasing import Pace, Pool


@dataclass(frozen=True)
class DeviceKind:
    """``meant``: whether the settings mean devices of this kind for a target. ``open`` gives the pool of them; it is
    closed as a context. The built-in kinds share what stands in DeviceSettings; ``settings`` is a frozen group of a
    kind's own, made of ``core.settings.setting``: it is in ``DeviceSettings.own``, and its fields are options."""

    name: str
    meant: Callable[[DeviceSettings, Target], bool]
    open: Callable[[DeviceSettings, Target, Pace | None], AbstractContextManager[DevicePool]]
    settings: type | None = None


def _cluster(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    from ellopt.devices.cluster.source import ClusterSource
    from ellopt.devices.pool.leasing import Pool

    return Pool(ClusterSource(settings, target), settings.parallel_run, settings.board_timeout, pace)


def _ssh(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    from ellopt.devices.pool.leasing import Pool
    from ellopt.devices.ssh.source import SshSource

    return Pool(SshSource(settings, target), settings.parallel_run, settings.board_timeout, pace)


def _local(settings: DeviceSettings, target: Target, pace: Pace | None) -> LocalPool:
    from ellopt.devices.local import LocalPool

    return LocalPool()


def _emulator(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    from ellopt.devices.emulator import EmulatedDevice
    from ellopt.devices.pool.fixed import FixedSource
    from ellopt.devices.pool.leasing import Pool

    return Pool(FixedSource([EmulatedDevice(target)]), 1, settings.board_timeout, pace)


def _estimated(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    from ellopt.devices.estimated import EstimatedDevice
    from ellopt.devices.pool.fixed import FixedSource
    from ellopt.devices.pool.leasing import Pool

    if settings.simulator is None:
        raise ValueError("there is no simulated processor")
    count = max(1, min(os.cpu_count() or 1, settings.parallel_run))
    devices = [EstimatedDevice(settings.simulator, number) for number in range(1, count + 1)]
    return Pool(FixedSource(devices), count, settings.board_timeout, pace)


#: The first that is meant is used.
DEVICE_KINDS: list[DeviceKind] = [
    DeviceKind("cluster", lambda settings, target: bool(settings.cluster), _cluster),
    DeviceKind("ssh", lambda settings, target: bool(settings.addresses), _ssh),
    DeviceKind("local", lambda settings, target: target.is_host, _local),
    DeviceKind("emulator", lambda settings, target: settings.emulate, _emulator),
    DeviceKind("estimated", lambda settings, target: settings.simulator is not None, _estimated),
]
