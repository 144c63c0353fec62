"""How plans become outcomes: what is built, visited, measured again or blamed, in which order.

Everything is built before a device is leased for it, and each visit has a lease of its own: nobody holds a device while
a compiler works.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from functools import partial

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError
from ellopt.core.job import Job, JobResult
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial, Visit
from ellopt.devices.bundle import Bundle
from ellopt.measure.builder import Bundles
from ellopt.measure.checking import Checker, Pair
from ellopt.measure.executors.base import Steps
from ellopt.measure.ledger import Ledger
from ellopt.measure.results import Fault, VisitResult
from ellopt.measure.retry import visited
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.visit import DefaultRun, VisitTask

log = logging.getLogger(__name__)


class Trying:
    """The steps of a measurer, see ``Steps``. ``in_turns``: the toolchain ``checks_in_turns``."""

    def __init__(self, bundles: Bundles, ledger: Ledger, settings: MeasureSettings, cores: int, in_turns: bool) -> None:
        self._bundles, self._ledger, self._settings = bundles, ledger, settings
        self._cores, self._in_turns = cores, in_turns

    def outcomes(
        self, plans: Sequence[Plan], schedule: Schedule | None, deadline: Deadline
    ) -> Steps[tuple[Trial, ...]]:
        """One outcome for each of ``plans``, measured by ``schedule``, or only checked."""
        ledger = self._ledger
        found: dict[Plan, Trial] = {}
        runnable = [plan for plan in dict.fromkeys(plans) if not ledger.rejected(plan)]
        found |= {plan: Trial.without_samples(plan, why) for plan in runnable if (why := ledger.failing(plan))}
        runnable = [plan for plan in runnable if plan not in found]
        groups: dict[str, tuple[Bundle, list[Plan]]] = {}
        for plan, built in (yield from self._bundles.holding(runnable)).items():
            if isinstance(built, BuildError):
                found[plan] = Trial.without_samples(plan, f"does not build: {built}")
            else:
                groups.setdefault(built.digest, (built, []))[1].append(plan)
        for bundle, members in groups.values():
            some = yield from (
                self._checked(bundle, members, deadline)
                if schedule is None
                else self._measured(bundle, members, schedule, deadline)
            )
            found |= {outcome.plan: outcome for outcome in some}
        for plan in plans:
            if plan not in found:
                blamed = ledger.rejected(plan)
                reason = "; ".join(f"{node_id}: {plan[node_id]}: {why}" for node_id, why in blamed.items())
                found[plan] = Trial.without_samples(plan, reason, blamed)
        return tuple(found[plan] for plan in plans)

    def run_job(self, bundle: Bundle, job: Job, deadline: Deadline) -> Steps[JobResult]:
        """Run one job on a device. Raises CandidateError if it fails."""
        result = yield from self.visit(bundle, job, deadline)
        if result.fault is not None:
            raise result.fault.error
        return result.result or JobResult(checks=result.checks)

    def visit(self, bundle: Bundle, job: Job, deadline: Deadline) -> Steps[VisitResult]:
        """One visit, on another device where one fails. Raises CandidateError if the model cannot run at all."""
        default = yield from self._default_bundle(bundle)

        def task() -> VisitTask:
            return VisitTask(
                bundle.digest, job, self._settings, self._cores, self._in_turns,
                None if default is None else replace(default, hung=self._ledger.default_hung),
                self._ledger.facts(job.plans, None if default is None else default.plan), deadline.remaining,
            )  # fmt: skip

        result = yield from visited(task, self._ledger, self._settings.attempts, deadline)
        if result.fault is not None and result.fault.stage == "default":
            raise CandidateError(f"the model hangs even with ELL's default options: {result.fault.reason}")
        return result

    def _default_bundle(self, bundle: Bundle) -> Steps[DefaultRun | None]:
        """What times ELL's default, where that is wanted: before code that is built plan by plan, and once something
        has hung."""
        if self._bundles.holds_any_number and not (self._ledger.hung or self._ledger.default_hung):
            return None
        plan = self._bundles.default_plan
        if not bundle.runs(plan):
            found = (yield from self._bundles.holding([plan]))[plan]
            if isinstance(found, BuildError):  # whoever checks it will say so
                return None
            bundle = found
        return DefaultRun(bundle.digest, plan)

    def _checked(self, bundle: Bundle, plans: Sequence[Plan], deadline: Deadline) -> Steps[list[Trial]]:
        outcomes = yield from self._blamed(bundle, plans, self._ledger.passed(None), _check_job, deadline)
        return outcomes + [Trial(plan) for plan in self._good(plans)]

    def _measured(
        self, bundle: Bundle, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline, halving: bool = False
    ) -> Steps[list[Trial]]:
        """Measure ``plans`` together, in one bundle. Wrong ones have no outcome.

        Where that crashes or hangs, each pair is checked, then the good plans are measured; where that crashes or hangs
        (``halving``), each half by itself, and at last by layers.
        """
        left = list(plans)
        while left:
            result = yield from self.visit(bundle, schedule.job(left), deadline)
            if result.fault is not None:
                log.warning(
                    "measuring %d plans failed, looking for what is to blame: %s", len(left), result.fault.reason
                )
                return (yield from self._after(result, bundle, left, schedule, deadline, halving))
            if result.result is not None:
                return self._samples(result, left, schedule)
            left = self._good(left)  # some were wrong, and nothing was timed
        return []

    def _after(
        self,
        result: VisitResult,
        bundle: Bundle,
        plans: list[Plan],
        schedule: Schedule,
        deadline: Deadline,
        halving: bool,
    ) -> Steps[list[Trial]]:
        assert isinstance(result.fault, Fault)
        if result.fault.stage == "check" and not halving:
            passed = self._ledger.passed(result.board)
            outcomes = yield from self._blamed(bundle, plans, passed, _check_job, deadline)
            return outcomes + (yield from self._measured(bundle, self._good(plans), schedule, deadline, True))
        if len(plans) == 1:
            plan = plans[0]
            yield from self._blamed(bundle, plans, set(), schedule.job, deadline)
            if self._ledger.rejected(plan):
                return []
            self._ledger.give_up({plan: result.fault.reason})
            return [Trial.without_samples(plan, result.fault.reason)]
        half = len(plans) // 2
        first = yield from self._measured(bundle, plans[:half], schedule, deadline, True)
        return first + (yield from self._measured(bundle, plans[half:], schedule, deadline, True))

    def _good(self, plans: Sequence[Plan]) -> list[Plan]:
        return [plan for plan in plans if not self._ledger.failing(plan) and not self._ledger.rejected(plan)]

    def _blamed(
        self,
        bundle: Bundle,
        plans: Sequence[Plan],
        passed: Set[Pair],
        job: Callable[[Sequence[Plan]], Job],
        deadline: Deadline,
    ) -> Steps[list[Trial]]:
        """Find out by jobs what in ``plans`` fails, and never run that again. Outcomes of plans that fail without one
        layer to blame."""
        run = partial(self._suspected, bundle, job, deadline)
        checker = Checker(plans, self._bundles.default_plan, set(passed), self._bundles.holds_any_number, run)
        found = yield from checker.run_all()
        self._ledger.reject_layers(found.layers)
        self._ledger.give_up(found.plans)
        return [Trial.without_samples(plan, why) for plan, why in found.plans.items()]

    def _suspected(
        self, bundle: Bundle, job: Callable[[Sequence[Plan]], Job], deadline: Deadline, plans: Sequence[Plan]
    ) -> Steps[JobResult]:
        """Run a job of which something may be expected to fail, in ``bundle`` if it holds its plans, else in others."""
        held: dict[Plan, Bundle | BuildError] = dict.fromkeys(plans, bundle)
        if not all(map(bundle.runs, plans)):
            held = yield from self._bundles.holding(plans)
        groups: dict[str, tuple[Bundle, list[Plan]]] = {}
        for plan, holder in held.items():
            if isinstance(holder, BuildError):
                raise holder
            groups.setdefault(holder.digest, (holder, []))[1].append(plan)
        results = []
        for holder, members in groups.values():
            results.append((yield from self.run_job(holder, job(members), deadline)))
        return JobResult(
            samples=tuple(samples for result in results for samples in result.samples),
            checks=tuple(check for result in results for check in result.checks),
        )

    def _samples(self, result: VisitResult, plans: Sequence[Plan], schedule: Schedule) -> list[Trial]:
        done = result.result or JobResult()
        uid = uuid.uuid4().hex[:12]
        visit = Visit(uid, result.device, result.board, result.emulated, result.disturbed, round(result.paused, 3))
        busy = [sum(samples.total_ms) for samples in done.samples]
        self._ledger.observed(sum(len(s.layers_ms) for s in done.samples if s.total_ms))
        limit = f"exceeded the limit of {schedule.job(plans).limit_seconds:g} s"
        return [
            replace(
                Trial(plan, samples, visit) if samples.total_ms else Trial.without_samples(plan, limit, visit=visit),
                board_seconds=done.seconds * time_ms / (sum(busy) or 1.0),
            )
            for plan, samples, time_ms in zip(plans, done.samples, busy, strict=True)
            if not done.checks or not self._ledger.rejected(plan)
        ]  # fmt: skip


def _check_job(plans: Sequence[Plan]) -> Job:
    return Job("check", tuple(plans))
