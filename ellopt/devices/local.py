"""This machine as a device."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Iterator
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded
from ellopt.core.samples import DeviceState
from ellopt.devices.base import PoolReport, Times
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.staging import run_here
from ellopt.devices.state import foreign_load
from ellopt.files.process import Abort
from ellopt.targets import Target

# Measurements on one machine disturb each other, whichever pool they belong to.
_ONE_AT_A_TIME = threading.Lock()


class LocalDevice:
    """Runs bundles here, one at a time, each in a temporary directory of its own."""

    times: Times = "real"
    here = True

    def __init__(self) -> None:
        self.name = "local"
        self.board = f"host {cpu_model()}"
        self._foreign_load: float | None = None
        self._abort = Abort()

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        before, own = _processors(), _own_seconds()
        try:
            return run_here(bundle, invocation, deadline, abort=self._abort)
        finally:
            self._foreign_load = foreign_load(before, _processors(), _own_seconds() - own, os.cpu_count() or 0)

    def abort(self) -> None:
        """End what is running, from another thread."""
        self._abort.fire()

    def rearm(self) -> None:
        self._abort = Abort()

    def state(self) -> DeviceState:
        """What Linux says of the CPU's frequency, temperature and load; facts it does not offer are None.
        ``foreign_load`` belongs to the last run and is told once."""
        foreign, self._foreign_load = self._foreign_load, None
        cpufreq = Path("/sys/devices/system/cpu/cpu0/cpufreq")
        frequency = _number(cpufreq / "scaling_cur_freq")
        temperature = _number(Path("/sys/class/thermal/thermal_zone0/temp"))
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return DeviceState(
            governor=_text(cpufreq / "scaling_governor"),
            frequency_mhz=None if frequency is None else frequency / 1000,
            temperature_c=None if temperature is None else temperature / 1000,
            load=load,
            foreign_load=foreign,
        )


class LocalPool:
    """A pool of one: this machine. Leases wait for each other, also those of other pools in this process."""

    capacity = 1
    emulated = False
    sends = 0

    def __init__(self) -> None:
        self._device = LocalDevice()
        self._leases = 0

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def lease(self, deadline: Deadline) -> Iterator[LocalDevice]:
        """This machine, for one holder at a time. Raises DeadlineExceeded if it does not become free."""
        timeout = deadline.timeout
        if not _ONE_AT_A_TIME.acquire(timeout=-1 if timeout is None else timeout):
            raise DeadlineExceeded("waited for longer than allowed for this machine to become free")
        try:
            self._leases += 1
            self._device.rearm()
            yield self._device
        finally:
            _ONE_AT_A_TIME.release()

    def report(self) -> PoolReport:
        return PoolReport(leases=self._leases)

    def close(self) -> None:
        """Nothing is held between leases."""


def cpu_model() -> str:
    """The name of this machine's CPU, as it tells it."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        facts = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        for key in ("model name", "hardware", "cpu model"):
            if facts.get(key):
                return facts[key]
    return platform.processor() or platform.machine() or "unknown"


def _processors() -> str:
    """What Linux says of all processors: the first line of ``/proc/stat``."""
    with contextlib.suppress(OSError):
        return Path("/proc/stat").read_text(encoding="ascii", errors="replace").partition("\n")[0]
    return ""


def _own_seconds() -> float:
    """Processor time of this process and of those that it waited for."""
    return sum(os.times()[:4])


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None


def open_pool(settings: DeviceSettings, target: Target, pace: Pace | None) -> LocalPool:
    """This machine."""
    return LocalPool()
