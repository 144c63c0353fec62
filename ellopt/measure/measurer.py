"""Where plans are tried: builds what they need, leases a device, checks their outputs, measures them."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.trial import Costs, Failure, Outcome, Visit
from ellopt.devices.base import Device, DevicePool
from ellopt.devices.bundle import Bundle
from ellopt.measure.base import MeasurerStatus
from ellopt.measure.builder import Bundles
from ellopt.measure.checking import Checker, Pair, judge, require_steps, to_check
from ellopt.measure.device_runs import DeviceRuns, HangError
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.whole_model import WholeOutputs
from ellopt.model.graph import Model
from ellopt.space.space import ModelSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class DeviceMeasurer:
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
        settings: MeasureSettings | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model, self.toolchain, self.pool, self.target = model, toolchain, pool, target
        self.settings = settings or MeasureSettings()
        self.layers = {layer.node_id: layer for layer in toolchain.layers(model)}
        self._watchers: list[Callable[[], None]] = []
        self._bundles = Bundles(
            model, toolchain, target, directory,
            build_timeout=self.settings.build_timeout,
            parallel_build=self.settings.parallel_build,
            on_change=self._changed,
        )  # fmt: skip
        self._outputs = WholeOutputs(model, toolchain)
        self._lock = threading.RLock()
        self._failures: dict[tuple[ConvolutionShape, ConvolutionOptions], Failure] = {}
        self._passed: dict[str, set[Pair]] = {}  # board -> what was checked there
        self._spent = Costs()
        self._boards: Counter[str] = Counter()
        self._failing_plans: dict[Plan, str] = {}  # without one layer to blame
        self._runs = DeviceRuns(toolchain, target, self.settings, sleep, self._spend)
        self._default_hung = False
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

    def status(self) -> MeasurerStatus:
        report = self.pool.report()
        return MeasurerStatus(
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

    def output_errors(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[float, ...]:
        """How far the whole model's output is off with each plan, for several inputs, in units of what is allowed.

        Raises as ``measure``.
        """
        until = deadline or Deadline.never()
        return self._outputs.errors(
            plans,
            self._bundles.holding,
            lambda bundle, job: self._somewhere(lambda device: self._runs.run(device, bundle, job, until), until),
        )

    def measure(
        self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None
    ) -> tuple[Outcome, ...]:
        """Measure ``plans``, interleaved where one bundle holds them; one outcome each, in their order.

        What has not been checked on this kind of board is checked first, in the same job where the toolchain can do
        that. Raises InfrastructureError when no device could do it, CandidateError when the model crashes even with
        ELL's default options.
        """
        return self._try(plans, schedule, deadline or Deadline.never())

    def _try(self, plans: Sequence[Plan], schedule: Schedule | None, deadline: Deadline) -> tuple[Outcome, ...]:
        outcomes: dict[Plan, Outcome] = {}
        runnable = [plan for plan in dict.fromkeys(plans) if not self.rejected(plan)]
        outcomes |= {p: Outcome(p, None, reason=self._failing_plans[p]) for p in runnable if p in self._failing_plans}
        runnable = [plan for plan in runnable if plan not in outcomes]
        groups: dict[str, tuple[Bundle, list[Plan]]] = {}
        for plan, found in self._bundles.holding(runnable).items():
            if isinstance(found, BuildError):
                outcomes[plan] = Outcome(plan, None, reason=f"does not build: {found}")
            else:
                groups.setdefault(found.digest, (found, []))[1].append(plan)
        for bundle, members in groups.values():
            work = partial(self._visit, bundle=bundle, plans=members, schedule=schedule, deadline=deadline)
            for outcome in self._somewhere(work, deadline):
                outcomes[outcome.plan] = outcome
        for plan in plans:
            if plan not in outcomes:
                blamed = self.rejected(plan)
                reason = "; ".join(f"{node_id}: {plan[node_id]}: {why}" for node_id, why in blamed.items())
                outcomes[plan] = Outcome(plan, None, reason=reason, failures=blamed)
        return tuple(outcomes[plan] for plan in plans)

    def _spend(self, device: str, seconds: float) -> None:
        with self._lock:
            self._boards[device] += 1
            self._spent += Costs(runs=1, board_seconds=seconds)

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
        self, device: Device, bundle: Bundle, plans: list[Plan], schedule: Schedule | None, deadline: Deadline
    ) -> list[Outcome]:
        self._board = self._board or device.board
        with self._lock:
            passed = self._passed.setdefault(device.board, set())
        if self._default_hung or not self._bundles.holds_any_number:
            self._time_default(device, bundle, deadline)
        if schedule is not None and self.toolchain.checks_in_turns:
            unchecked = to_check(plans, passed)
            try:
                return self._measure(device, bundle, plans, schedule, deadline, unchecked)
            except CandidateError as error:  # the inspection finds out what it was
                log.warning("measuring %d plans failed, looking for what is to blame: %s", len(plans), error)
                if isinstance(error, HangError):
                    self._time_default(device, bundle, deadline)
        outcomes = self._inspect(
            plans, passed, lambda some: self._suspect(device, bundle, Job("check", tuple(some)), deadline)
        )
        good = [plan for plan in plans if plan not in self._failing_plans and not self.rejected(plan)]
        if schedule is None:
            return outcomes + [Outcome(plan, None) for plan in good]
        return outcomes + (self._measure_parts(device, bundle, good, schedule, deadline) if good else [])

    def _inspect(
        self, plans: Sequence[Plan], passed: set[Pair], run: Callable[[Sequence[Plan]], JobResult]
    ) -> list[Outcome]:
        """Find out by ``run`` what in ``plans`` fails, and never run that again. Outcomes of plans that fail without
        one layer to blame."""
        found = Checker(plans, self._bundles.default_plan, passed, self._bundles.holds_any_number, run).run_all()
        self.reject([Failure(self.layers[n].shape, o, why) for (n, o), why in found.layers.items()])
        with self._lock:
            self._failing_plans |= found.plans
        return [Outcome(plan, None, reason=why) for plan, why in found.plans.items()]

    def _suspect(self, device: Device, bundle: Bundle, job: Job, deadline: Deadline) -> JobResult:
        """Run a job of which something is expected to fail."""
        try:
            return self._run_somewhere(device, bundle, job, deadline)
        except HangError:
            self._time_default(device, bundle, deadline)
            raise

    def _run_somewhere(self, device: Device, bundle: Bundle, job: Job, deadline: Deadline) -> JobResult:
        """Run a job in ``bundle`` if it holds its plans, else in others."""
        plans = job.plans
        found = self._bundles.holding(plans) if not all(map(bundle.runs, plans)) else dict.fromkeys(plans, bundle)
        for found_bundle in found.values():
            if isinstance(found_bundle, BuildError):
                raise found_bundle
        groups: dict[str, tuple[Bundle, list[Plan]]] = {}
        for plan, holder in found.items():
            if isinstance(holder, Bundle):
                groups.setdefault(holder.digest, (holder, []))[1].append(plan)
        results = [
            self._runs.run(device, holder, replace(job, plans=tuple(members)), deadline)
            for holder, members in groups.values()
        ]
        return JobResult(
            samples=tuple(samples for result in results for samples in result.samples),
            checks=tuple(check for result in results for check in result.checks),
        )

    def _time_default(self, device: Device, bundle: Bundle, deadline: Deadline) -> None:
        """Find out, once for a kind of board, what a pass of ELL's default takes, which says what hangs.

        Its output is checked first: the pace of code that computes something else says nothing. A default that hangs
        itself gets another try elsewhere.
        """
        if self._runs.limits.asked(device.board):
            return
        job = Job("profile", (self._bundles.default_plan,), warm_up=0, rounds=1, turn_warm_up=0, settle=False)
        try:
            if not self._default_is_right(device, bundle, deadline):
                self._runs.limits.learn(device.board, None)
                return
            result = self._run_somewhere(device, bundle, job, deadline)
        except HangError as error:
            if self._default_hung:
                raise CandidateError(f"the model hangs even with ELL's default options: {error}") from error
            self._default_hung = True
            raise InfrastructureError(f"{device.name}: {error}, with ELL's default options") from error
        except CandidateError:  # the inspection will say so
            self._runs.limits.learn(device.board, None)
            return
        times = [ms for samples in result.samples for ms in samples.total_ms]
        self._runs.limits.learn(device.board, max(times) / 1000 if times else None)

    def _default_is_right(self, device: Device, bundle: Bundle, deadline: Deadline) -> bool:
        default = self._bundles.default_plan
        with self._lock:
            passed = self._passed.setdefault(device.board, set())
        if passed.issuperset(default.items()):
            return True
        result = self._run_somewhere(device, bundle, Job("check", (default,)), deadline)
        require_steps(result.checks)
        with self._lock:
            return not judge(result.checks, passed)  # who is to blame, the inspection says

    def _measure_parts(
        self, device: Device, bundle: Bundle, plans: list[Plan], schedule: Schedule, deadline: Deadline
    ) -> list[Outcome]:
        """Measure ``plans`` together; where that crashes or hangs, each half by itself, and at last by layers."""
        try:
            return self._measure(device, bundle, plans, schedule, deadline)
        except CandidateError as error:
            log.warning("measuring %d plans failed, looking for what is to blame: %s", len(plans), error)
            if isinstance(error, HangError):
                self._time_default(device, bundle, deadline)
            if len(plans) == 1:
                job = schedule.job(plans)
                self._inspect(
                    plans, set(), lambda p: self._suspect(device, bundle, replace(job, plans=tuple(p)), deadline)
                )
                if not self.rejected(plans[0]):
                    with self._lock:
                        self._failing_plans.setdefault(plans[0], str(error))
                    return [Outcome(plans[0], None, reason=str(error))]
                return []
            half = len(plans) // 2
            return self._measure_parts(device, bundle, plans[:half], schedule, deadline) + self._measure_parts(
                device, bundle, plans[half:], schedule, deadline
            )

    def _measure(
        self,
        device: Device,
        bundle: Bundle,
        plans: list[Plan],
        schedule: Schedule,
        deadline: Deadline,
        unchecked: frozenset[Plan] = frozenset(),
    ) -> list[Outcome]:
        """One job that measures ``plans``, and checks those that are ``unchecked``; wrong ones have no outcome."""
        job = schedule.job(plans, unchecked)
        result, disturbed = self._runs.run_undisturbed(device, bundle, job, deadline)
        require_steps(result.checks)
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
