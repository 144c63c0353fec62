"""Which pool of devices the settings mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ellopt.core.errors import ConfigurationError
from ellopt.devices.base import DevicePool
from ellopt.devices.kinds import DEVICE_KINDS
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import Target


@contextmanager
def open_pool(settings: DeviceSettings, target: Target, pace: Pace | None = None) -> Iterator[DevicePool]:
    """The devices that ``settings`` mean, for the length of a ``with``.

    Raises ConfigurationError if they mean none, InfrastructureError if the cluster service does not answer.
    """
    kind = next((kind for kind in DEVICE_KINDS if kind.meant(settings, target)), None)
    if kind is None:
        raise ConfigurationError(
            f"--target {target.name}: no board was given; use --ipaddress, --cluster or --emulate (or --target host)"
        )
    with kind.open(settings, target, pace) as pool:
        yield pool
