"""Where plans are tried: builds what they need, leases a device, checks their outputs, measures them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ellopt.bundles import Bundles
from ellopt.deadline import Deadline
from ellopt.devices.base import Device, DevicePool
from ellopt.errors import BuildError, CandidateError, DeadlineExceeded, InfrastructureError
from ellopt.inspection import Inspection, Pair, judge, to_check
from ellopt.measurement import DeviceState
from ellopt.model.graph import Model
from ellopt.observations import Costs, Failure, Outcome, Visit
from ellopt.options import ConvolutionOptions, Plan
from ellopt.procedure import LaboratoryStatus, Procedure
from ellopt.shapes import ConvolutionShape
from ellopt.space import ModelSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Bundle, Job, JobResult, Toolchain

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class LaboratorySettings:
    """Limits of the work on devices. Times in seconds."""

    build_timeout: float = 1800.0
    parallel_build: int = 1
    board_timeout: float = 600.0  # how long to wait for a device
    run_limit: float = 120.0  # after this a job stops at the end of its round
    run_grace: float = 180.0  # after this much more, for copying and a slow last round, it is killed
    attempts: int = 6  # of a visit, each on a device of the pool's choice
    disturbed_attempts: int = 3  # of a measurement on a throttled or loaded device
    disturbed_pause: float = 20.0
    threads: int = 0  # 0: the target's cores
    visit_spacing: float = 0.0  # least time between the starts of two measurements on one device


class Laboratory:
    """Tries plans of one model for one target. Its methods may be called from several threads.

    Options whose output is wrong, that crash or that hang are found, recorded in ``failures`` and never run again.
    A device that fails gives the visit to another one.
    """

    def __init__(
        self,
        model: Model,
        toolchain: Toolchain,
        pool: DevicePool,
        target: Target,
        directory: Path,
        settings: LaboratorySettings | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model, self.toolchain, self.pool, self.target = model, toolchain, pool, target
        self.settings = settings or LaboratorySettings()
        self.layers = {layer.node_id: layer for layer in toolchain.layers(model)}
        self._sleep = sleep
        self._watchers: list[Callable[[], None]] = []
        self._bundles = Bundles(
            model, toolchain, target, directory,
            build_timeout=self.settings.build_timeout,
            parallel_build=self.settings.parallel_build,
            on_change=self._changed,
        )  # fmt: skip
        self._lock = threading.RLock()
        self._failures: dict[tuple[ConvolutionShape, ConvolutionOptions], Failure] = {}
        self._passed: dict[str, set[Pair]] = {}  # board -> what was checked there
        self._spent = Costs()
        self._boards: Counter[str] = Counter()
        self._hung: set[str] = set()
        self._measured_at: dict[str, float] = {}  # device -> when its last measurement began
        self._busy = 0
        self._board = ""

    @property
    def capacity(self) -> int:
        return max(1, self.pool.capacity)

    @property
    def failures(self) -> tuple[Failure, ...]:
        with self._lock:
            return tuple(self._failures.values())

    @property
    def costs(self) -> Costs:
        with self._lock:
            return replace(
                self._spent,
                builds=self._bundles.builds,
                build_seconds=self._bundles.build_seconds,
                boards=dict(self._boards),
            )

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from whatever thread, when ``status`` changes."""
        self._watchers.append(callback)

    def stop(self) -> None:
        """End what runs on devices, at once: the user wants no more of it. The pool is of no use afterwards."""
        self.pool.close()

    def status(self) -> LaboratoryStatus:
        report = self.pool.report()
        return LaboratoryStatus(
            self._bundles.builds, self._bundles.in_flight, self._busy, self.capacity, len(report.set_aside)
        )

    def board(self) -> str:
        """What measurements here may be compared with: the kind of board that the pool's devices are."""
        if not self._board:
            with self.pool.lease(Deadline.after(self.settings.board_timeout)) as device:
                self._board = device.board
        return self._board

    def prepare(self, space: ModelSpace) -> None:
        """Build all that ``space`` may ask for, where one bundle can hold it. Raises BuildError if not even ELL's
        default options build; others that do not build become failures."""
        for (node_id, options), reason in self._bundles.prepare(space).items():
            self.reject([Failure(self.layers[node_id].shape, options, reason)])

    def reject(self, failures: Sequence[Failure]) -> None:
        with self._lock:
            for failure in failures:
                if (failure.shape, failure.options) not in self._failures:
                    self._failures[failure.shape, failure.options] = failure

    def rejected(self, plan: Plan) -> dict[str, str]:
        """Node id -> reason for the layers of ``plan`` whose options are known not to work."""
        with self._lock:
            found = {n: self._failures.get((self.layers[n].shape, options)) for n, options in plan.items()}
        return {node_id: failure.reason for node_id, failure in found.items() if failure is not None}

    def check(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[Outcome, ...]:
        """Check whatever in ``plans`` has not been checked on this kind of board."""
        return self._try(plans, None, deadline or Deadline.never())

    def measure(
        self, plans: Sequence[Plan], procedure: Procedure, deadline: Deadline | None = None
    ) -> tuple[Outcome, ...]:
        """Measure ``plans``, interleaved where one bundle holds them; one outcome each, in their order.

        What has not been checked on this kind of board is checked first, in the same job where the toolchain can do
        that. Raises InfrastructureError when no device could do it, CandidateError when the model crashes even with
        ELL's default options.
        """
        return self._try(plans, procedure, deadline or Deadline.never())

    def _try(self, plans: Sequence[Plan], procedure: Procedure | None, deadline: Deadline) -> tuple[Outcome, ...]:
        outcomes: dict[Plan, Outcome] = {}
        runnable = [plan for plan in dict.fromkeys(plans) if not self.rejected(plan)]
        groups: dict[str, tuple[Bundle, list[Plan]]] = {}
        for plan, found in self._bundles.holding(runnable).items():
            if isinstance(found, BuildError):
                outcomes[plan] = Outcome(plan, None, reason=f"does not build: {found}")
            else:
                groups.setdefault(found.digest, (found, []))[1].append(plan)
        for bundle, members in groups.values():
            work = partial(self._visit, bundle=bundle, plans=members, procedure=procedure, deadline=deadline)
            for outcome in self._somewhere(work, deadline):
                outcomes[outcome.plan] = outcome
        for plan in plans:
            if plan not in outcomes:
                blamed = self.rejected(plan)
                reason = "; ".join(f"{node_id}: {plan[node_id]}: {why}" for node_id, why in blamed.items())
                outcomes[plan] = Outcome(plan, None, reason=reason, failures=blamed)
        return tuple(outcomes[plan] for plan in plans)

    def _somewhere(self, work: Callable[[Device], Result], deadline: Deadline) -> Result:
        """Do ``work`` on a device; on another one when that device fails."""
        attempt = 0
        while True:
            attempt += 1
            leased = False
            try:
                with self.pool.lease(deadline) as device:  # a pool bounds the wait itself
                    leased = True
                    self._changed_busy(+1)
                    try:
                        return work(device)
                    finally:
                        self._changed_busy(-1)
            except InfrastructureError as error:
                with self._lock:
                    self._spent += Costs(retries=1, failures=(str(error),))
                if not leased or attempt >= self.settings.attempts or deadline.passed:
                    raise
                log.warning("attempt %d of %d failed, trying again: %s", attempt, self.settings.attempts, error)

    def _changed_busy(self, change: int) -> None:
        with self._lock:
            self._busy += change
        self._changed()

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _visit(
        self, device: Device, bundle: Bundle, plans: list[Plan], procedure: Procedure | None, deadline: Deadline
    ) -> list[Outcome]:
        self._board = self._board or device.board
        with self._lock:
            passed = self._passed.setdefault(device.board, set())
        if procedure is not None and self.toolchain.checks_in_turns:
            unchecked = to_check(plans, passed)
            with contextlib.suppress(CandidateError):  # something crashes: the inspection finds out what
                return self._measure(device, bundle, plans, procedure, deadline, unchecked)
        inspection = Inspection(
            plans=plans,
            default=self._bundles.default_plan,
            passed=passed,
            recompose=self._bundles.holds_any_number,
            run=lambda some: self._run_somewhere(device, bundle, some, deadline),
        )
        found = inspection.run_all()
        self.reject([Failure(self.layers[n].shape, o, why) for (n, o), why in found.layers.items()])
        outcomes = [Outcome(plan, None, reason=why) for plan, why in found.plans.items()]
        good = [plan for plan in plans if plan not in found.plans and not self.rejected(plan)]
        if procedure is None:
            return outcomes + [Outcome(plan, None) for plan in good]
        return outcomes + (self._measure_parts(device, bundle, good, procedure, deadline) if good else [])

    def _run_somewhere(self, device: Device, bundle: Bundle, plans: Sequence[Plan], deadline: Deadline) -> JobResult:
        """Run a check of ``plans``, in ``bundle`` if it holds them, else in another."""
        found = self._bundles.holding(plans) if not all(map(bundle.runs, plans)) else dict.fromkeys(plans, bundle)
        results = []
        for plan_bundle in dict.fromkeys(b.digest for b in found.values() if isinstance(b, Bundle)):
            some = [(p, b) for p, b in found.items() if isinstance(b, Bundle) and b.digest == plan_bundle]
            results.append(self._run(device, some[0][1], Job("check", tuple(p for p, _ in some)), deadline))
        for found_bundle in found.values():
            if isinstance(found_bundle, BuildError):
                raise found_bundle
        return JobResult(checks=tuple(check for result in results for check in result.checks))

    def _measure_parts(
        self, device: Device, bundle: Bundle, plans: list[Plan], procedure: Procedure, deadline: Deadline
    ) -> list[Outcome]:
        """Measure ``plans`` together; where that crashes, each half by itself."""
        try:
            return self._measure(device, bundle, plans, procedure, deadline)
        except CandidateError as error:
            if len(plans) == 1:
                return [Outcome(plans[0], None, reason=str(error))]
            half = len(plans) // 2
            return self._measure_parts(device, bundle, plans[:half], procedure, deadline) + self._measure_parts(
                device, bundle, plans[half:], procedure, deadline
            )

    def _measure(
        self,
        device: Device,
        bundle: Bundle,
        plans: list[Plan],
        procedure: Procedure,
        deadline: Deadline,
        unchecked: frozenset[Plan] = frozenset(),
    ) -> list[Outcome]:
        """One job that measures ``plans``, and checks those that are ``unchecked``; wrong ones have no outcome."""
        job = Job(
            kind=procedure.kind,
            plans=tuple(plans),
            warm_up=procedure.warm_up,
            rounds=procedure.rounds,
            turn_warm_up=procedure.turn_warm_up,
            turn_passes=procedure.turn_passes,
            settle=procedure.settle,
            slow_factor=procedure.slow_factor,
            unchecked=unchecked,
        )
        result, disturbed = self._run_undisturbed(device, bundle, job, deadline)
        with self._lock:
            wrong = judge(result.checks, self._passed[device.board])
        self.reject([Failure(self.layers[n].shape, o, why) for (n, o), why in wrong.items()])
        visit = Visit(
            uuid.uuid4().hex[:12], device.name, device.board, self.pool.emulated or device.kind == "emulated", disturbed
        )
        busy = [sum(samples.total_ms) for samples in result.samples]
        with self._lock:
            self._spent += Costs(observations=sum(len(s.layers_ms) for s in result.samples if s.total_ms))
        return [
            Outcome(
                plan, samples if samples.total_ms else None, visit,
                reason="" if samples.total_ms else f"exceeded the limit of {job.limit_seconds:g} s",
                board_seconds=result.seconds * time_ms / (sum(busy) or 1.0),
            )
            for plan, samples, time_ms in zip(plans, result.samples, busy, strict=True)
            if not wrong or not self.rejected(plan)
        ]  # fmt: skip

    def _run_undisturbed(self, device: Device, bundle: Bundle, job: Job, deadline: Deadline) -> tuple[JobResult, str]:
        """Run ``job``; again after a pause if the device was throttled or loaded. The text says if it still was."""
        for attempt in range(1, self.settings.disturbed_attempts + 1):
            self._space(device, deadline)
            before = device.state()
            result = self._run(device, bundle, job, deadline)
            disturbed = disturbance(before, device.state(), self.target.cores if device.kind == "ssh" else 0)
            if not disturbed:
                break
            log.warning("%s was %s (attempt %d)", device.name, disturbed, attempt)
            if attempt < self.settings.disturbed_attempts and deadline.remaining > self.settings.disturbed_pause:
                self._sleep(self.settings.disturbed_pause)
        return result, disturbed

    def _space(self, device: Device, deadline: Deadline) -> None:
        """Wait for ``visit_spacing``: what slows a machine for some seconds then meets one visit in many."""
        with self._lock:
            last = self._measured_at.get(device.name)
        if last is not None and device.kind != "emulated":
            wait = last + self.settings.visit_spacing - time.monotonic()
            if wait > 0:
                self._sleep(min(wait, deadline.remaining))
        with self._lock:
            self._measured_at[device.name] = time.monotonic()

    def _run(self, device: Device, bundle: Bundle, job: Job, deadline: Deadline) -> JobResult:
        """Run ``job`` once. A job that hangs on this device twice is its own fault, not the device's."""
        limit = max(1.0, min(self.settings.run_limit, deadline.remaining))
        job = replace(job, limit_seconds=limit, threads=self.settings.threads)
        invocation = self.toolchain.invoke(bundle, job)
        started = time.monotonic()
        seconds: float | None = None
        try:
            execution = device.run(bundle, invocation, Deadline.after(limit + self.settings.run_grace))
            seconds = execution.seconds
        except DeadlineExceeded as error:
            key = f"{bundle.digest} {hash(job.plans)}"
            with self._lock:
                hung_before = key in self._hung
                self._hung.add(key)
            if hung_before:
                raise CandidateError(f"did not end within {limit + self.settings.run_grace:g} s") from error
            raise
        finally:
            spent = time.monotonic() - started if seconds is None else seconds
            with self._lock:
                self._boards[device.name] += 1
                self._spent += Costs(runs=1, board_seconds=spent)
        return self.toolchain.read(bundle, job, execution)


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
