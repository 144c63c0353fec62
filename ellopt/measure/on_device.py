"""What happens on a device in a visit: ELL's default is timed if need be, outputs are checked, the job is run."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, CommandTimeout, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck
from ellopt.devices.base import Device
from ellopt.devices.state import TICKS_PER_SECOND
from ellopt.measure.checking import require_steps
from ellopt.measure.disturbance import disturbance
from ellopt.measure.limits import explained, longest_seconds
from ellopt.measure.pauses import seen
from ellopt.measure.results import DefaultHangError, Fault, HangError, Pace, VisitResult
from ellopt.measure.site import MeasureSite

if TYPE_CHECKING:
    from ellopt.measure.visit import DefaultRun, VisitTask

log = logging.getLogger(__name__)


def perform(task: VisitTask, site: MeasureSite) -> VisitResult:
    """Lease a device of ``site`` and do there what ``task`` says. Nothing is built meanwhile: others want devices, too.

    A device's failure leaves the lease as an error, so that the pool hears of it, and is in the result.
    """
    on = None
    try:
        with site.lease(task.seconds) as device:
            on = _Visit(task, site, device)
            on.run()
    except InfrastructureError as error:
        return on.told(error) if on is not None else VisitResult(error=error)
    return on.told()


@dataclass
class _Visit:
    task: VisitTask
    site: MeasureSite
    device: Device
    runs: list[float] = field(default_factory=list)
    pace: Pace | None = None
    checks: tuple[LayerCheck, ...] = ()
    result: JobResult | None = None
    disturbed: str = ""
    fault: Fault | None = None
    paused: float = 0.0

    def __post_init__(self) -> None:
        self.facts = self.task.facts(self.device.board)
        self.pass_seconds = self.facts.pass_seconds
        self.deadline = Deadline.after(self.task.seconds)

    def told(self, error: InfrastructureError | None = None) -> VisitResult:
        emulated = self.site.pool.emulated or self.device.times == "emulated"
        return VisitResult(
            self.device.name, self.device.board, emulated, tuple(self.runs), self.pace, self.checks, self.result,
            self.disturbed, self.fault, error, self.paused,
        )  # fmt: skip

    def run(self) -> None:
        if self.task.default is not None and not self.facts.paced:
            self._time_default(self.task.default)
        if self.fault is None:
            self._run_job()

    def _run_job(self) -> None:
        job, unchecked = self.task.job, self.facts.unchecked
        checking = job.kind == "check"
        try:
            if job.kind in ("profile", "bench"):
                checking = bool(unchecked)
                if self.task.in_turns:
                    job = replace(job, unchecked=unchecked)
                elif not self._is_right([plan for plan in job.plans if plan in unchecked]):
                    return
                else:
                    checking = False
                self.result = self._run_undisturbed(job)
            else:
                self.result = self._run(self.task.bundle, job)
            require_steps(self.result.checks)
        except CandidateError as error:
            self.result = None
            kind: Literal["hang", "crash"] = "hang" if isinstance(error, HangError) else "crash"
            self.fault = Fault(kind, "check" if checking else "measure", str(error))

    def _is_right(self, plans: Sequence[Plan]) -> bool:
        """Check ``plans`` by themselves: nothing is timed whose output is wrong."""
        if plans:
            self.checks = self._run(self.task.bundle, Job("check", tuple(plans))).checks
            require_steps(self.checks)
        return all(check.passed for check in self.checks)

    def _run_undisturbed(self, job: Job) -> JobResult:
        """Run ``job``; again after a pause if the device was throttled or loaded."""
        limits, device = self.task.limits, self.device
        for attempt in range(1, limits.disturbed_attempts + 1):
            self.paused += self.site.space_measurements(device, limits.visit_spacing, self.deadline)
            before = device.state()
            result = self._run(self.task.bundle, job)
            after = device.state()
            foreign = None if after.foreign_load is None else after.foreign_load / max(1, self.task.cores)
            ticks = self.runs[-1] * max(1, self.task.cores) * TICKS_PER_SECOND
            self.site.remember(device, seen(result.samples, foreign, ticks))
            cores = self.task.cores if device.times == "real" and not device.here else 0
            self.disturbed = disturbance(before, after, cores)
            if not self.disturbed:
                break
            log.warning("%s was %s (attempt %d)", device.name, self.disturbed, attempt)
            if attempt < limits.disturbed_attempts and self.deadline.remaining > limits.disturbed_pause:
                self.site.sleep(limits.disturbed_pause)
        return result

    def _time_default(self, default: DefaultRun) -> None:
        """Find out what a pass of ELL's default takes here.

        Its output is checked first: the pace of code that computes something else says nothing. A default that hangs
        itself gets another try elsewhere.
        """
        job = Job("profile", (default.plan,), warm_up=0, rounds=1, turn_warm_up=0, settle=False)
        checks: tuple[LayerCheck, ...] = ()
        times: list[float] = []
        try:
            if not self.facts.default_checked:
                checks = self._run(default.bundle, Job("check", (default.plan,))).checks
                require_steps(checks)
            if all(check.passed for check in checks):  # who is to blame else, a check of all says
                result = self._run(default.bundle, job)
                times = [ms for samples in result.samples for ms in samples.total_ms]
        except HangError as error:
            if not default.hung:
                raise DefaultHangError(f"{self.device.name}: {error}, with ELL's default options") from error
            self.fault = Fault("hang", "default", str(error))
            return
        except CandidateError:  # a check of all will say so
            checks = ()
        self.pass_seconds = max(times) / 1000 if times else None
        self.pace = Pace(self.pass_seconds, checks)

    def _run(self, digest: str, job: Job) -> JobResult:
        """Run ``job`` once. Raises HangError if it does not end by itself although the device is well."""
        limits, toolchain, bundle = self.task.limits, self.site.toolchain, self.site.bundle(digest)
        seconds = max(1.0, min(limits.run_limit, self.deadline.remaining))
        job = replace(job, limit_seconds=seconds, threads=limits.threads)
        if self.device.times == "estimated":
            job = job.once
        longest = longest_seconds(job, limits, self.pass_seconds)
        invocation = replace(toolchain.invoke(bundle, job), limit_seconds=longest)
        started = time.monotonic()
        took: float | None = None
        try:
            execution = self.device.run(bundle, invocation, Deadline.after(longest + limits.run_grace))
            took = execution.seconds
        except CommandTimeout as error:
            raise HangError(f"did not end within {longest:.3g} s{explained(self.pass_seconds)}") from error
        finally:
            self.runs.append(time.monotonic() - started if took is None else took)
        return toolchain.read(bundle, job, execution)
