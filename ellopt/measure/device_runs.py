"""Runs of jobs on devices: spaced, under a limit, repeated where something else disturbed the device."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, CommandTimeout
from ellopt.core.job import Job, JobResult
from ellopt.core.samples import DeviceState
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle
from ellopt.measure.limits import RunLimits
from ellopt.measure.settings import MeasureSettings
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain

log = logging.getLogger(__name__)


class HangError(CandidateError):
    """A job was killed when it should have ended long before, on a device that is well."""


class DeviceRuns:
    """Runs jobs of one model's bundles. Safe to use from several threads.

    ``spend`` is told of every run: the device's name, and seconds.
    """

    def __init__(
        self,
        toolchain: Toolchain,
        target: Target,
        settings: MeasureSettings,
        sleep: Callable[[float], None],
        spend: Callable[[str, float], None],
    ) -> None:
        self.limits = RunLimits(settings.run_least, settings.run_grace)
        self._toolchain, self._target, self._settings = toolchain, target, settings
        self._sleep, self._spend = sleep, spend
        self._lock = threading.Lock()
        self._measured_at: dict[str, float] = {}  # device -> when its last measurement began

    def run(self, device: Device, bundle: Bundle, job: Job, deadline: Deadline) -> JobResult:
        """Run ``job`` once. Raises HangError if it does not end by itself although the device is well."""
        limit = max(1.0, min(self._settings.run_limit, deadline.remaining))
        job = replace(job, limit_seconds=limit, threads=self._settings.threads)
        longest = self.limits.seconds(device.board, job)
        invocation = replace(self._toolchain.invoke(bundle, job), limit_seconds=longest)
        started = time.monotonic()
        seconds: float | None = None
        try:
            execution = device.run(bundle, invocation, Deadline.after(longest + self._settings.run_grace))
            seconds = execution.seconds
        except CommandTimeout as error:
            raise HangError(f"did not end within {longest:.3g} s{self.limits.explained(device.board)}") from error
        finally:
            self._spend(device.name, time.monotonic() - started if seconds is None else seconds)
        return self._toolchain.read(bundle, job, execution)

    def run_undisturbed(self, device: Device, bundle: Bundle, job: Job, deadline: Deadline) -> tuple[JobResult, str]:
        """Run ``job``; again after a pause if the device was throttled or loaded. The text says if it still was."""
        for attempt in range(1, self._settings.disturbed_attempts + 1):
            self._space(device, deadline)
            before = device.state()
            result = self.run(device, bundle, job, deadline)
            disturbed = disturbance(before, device.state(), self._target.cores if device.kind == "ssh" else 0)
            if not disturbed:
                break
            log.warning("%s was %s (attempt %d)", device.name, disturbed, attempt)
            if attempt < self._settings.disturbed_attempts and deadline.remaining > self._settings.disturbed_pause:
                self._sleep(self._settings.disturbed_pause)
        return result, disturbed

    def _space(self, device: Device, deadline: Deadline) -> None:
        """Wait for ``visit_spacing``: what slows a machine for some seconds then meets one visit in many."""
        with self._lock:
            last = self._measured_at.get(device.name)
        if last is not None and device.kind != "emulated":
            wait = last + self._settings.visit_spacing - time.monotonic()
            if wait > 0:
                self._sleep(min(wait, deadline.remaining))
        with self._lock:
            self._measured_at[device.name] = time.monotonic()


def disturbance(before: DeviceState, after: DeviceState, cores: int) -> str:
    """Why samples taken between two states of a device should not be used; empty if nothing is known against them.

    ``cores``: where positive, a load of more than our own job can cause counts.
    """
    if before.throttled or after.throttled:
        return "throttled"
    if cores and before.load is not None and before.load > 1.5 * cores:
        return f"loaded ({before.load:.1f} on {cores} cores)"
    if cores and after.foreign_load is not None and after.foreign_load > 0.5 * cores:
        return f"loaded by others (they used {after.foreign_load:.1f} of {cores} cores)"
    return ""
