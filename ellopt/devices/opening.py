"""Which pool of devices the settings mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ellopt.devices.base import DevicePool
from ellopt.devices.local import LocalPool
from ellopt.devices.settings import DeviceSettings
from ellopt.errors import ConfigurationError
from ellopt.targets import Target


@contextmanager
def open_pool(settings: DeviceSettings, target: Target) -> Iterator[DevicePool]:
    """The devices that ``settings`` mean, for the length of a ``with``. Raises ConfigurationError if there are none."""
    if target.is_host:
        with LocalPool() as pool:
            yield pool
    else:
        raise ConfigurationError(
            f"--target {target.name}: no board was given; use --ipaddress, --cluster or --emulate (or --target host)"
        )
