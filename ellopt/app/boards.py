"""The boards of a tuning, and the board that one program is to run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ellopt.app.asked import device_settings
from ellopt.app.config import TuningConfig
from ellopt.app.options import BoardOptions
from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, DeadlineExceeded
from ellopt.devices.base import Device, DevicePool
from ellopt.devices.open import open_pool
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import Target

if TYPE_CHECKING:
    from ellopt.app.sent_tunings import SentTunings

#: how long one program waits for a board at an address, in seconds, if nothing else is said: it may be starting up
WAIT_SECONDS = 30.0
#: ... and for how much longer its pool may take to give up, which says why
_GIVING_UP = Pace.longest_pause + 5.0


@contextmanager
def open_places(config: TuningConfig, devices: DeviceSettings, target: Target) -> Iterator[DevicePool]:
    """Where the models of a run are measured: on a fleet's boards, or on those that ``devices`` mean. Raises as
    ``open_pool`` of either."""
    if not config.fleet.meant:
        with open_pool(devices, target) as pool:
            yield pool
        return
    from ellopt.measure.executors.dask.pool import open_pool as open_fleet

    with open_fleet(config.fleet, target, devices.board_timeout) as boards:
        yield boards


def sent_tunings(config: TuningConfig, pool: DevicePool, models: int) -> SentTunings | None:
    """Where ``models`` are tuned as a whole, if not here: several are by workers of the fleet that offer that. What has
    its study in a database is tuned here, where that is known."""
    if not config.fleet.meant or models < 2 or config.search.storage is not None:
        return None
    from ellopt.app.sent_tunings import SentTunings
    from ellopt.measure.executors.dask.pool import FleetPool

    return SentTunings(pool) if isinstance(pool, FleetPool) and pool.tunings else None


def device_for(
    target: Target, boards: BoardOptions, times: bool = False
) -> Callable[[], AbstractContextManager[Device]] | None:
    """What leases a board that ``boards`` name; None where none is named: this machine, or the emulator.

    With ``times`` the emulator must be asked for: it says nothing of a board's times. Raises ConfigurationError for
    options that contradict each other, and if nothing says where to measure; so does the lease if no address answers.
    """
    settings = device_settings(dict(boards), target.name)
    if settings.addresses and boards.get("board_timeout") is None:
        settings = replace(settings, board_timeout=WAIT_SECONDS)
    if not settings.addresses and not settings.cluster:
        if times and not target.is_host and not settings.emulate:
            raise ConfigurationError(
                f"--target {target.name}: no board was given; use --ipaddress or --cluster (or --emulate, whose times "
                "say nothing of a board)"
            )
        return None

    @contextmanager
    def leased() -> Iterator[Device]:
        with open_pool(settings, target) as pool, ExitStack() as stack:
            try:
                device = stack.enter_context(pool.lease(Deadline.after(settings.board_timeout + _GIVING_UP)))
            except DeadlineExceeded as error:
                if settings.addresses:
                    raise ConfigurationError(str(error)) from None
                raise
            yield device

    return leased
