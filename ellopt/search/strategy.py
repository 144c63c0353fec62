"""What every strategy does: propose what to measure next, and judge what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial, TrialState
from ellopt.search.evidence.effects import Variant
from ellopt.search.evidence.estimates import Evidence
from ellopt.space.space import ModelSpace


@dataclass(frozen=True)
class Proposal:
    """Plans to measure in one visit, and what for."""

    plans: tuple[Plan, ...]
    schedule: Schedule
    stage: str


@dataclass(frozen=True)
class Verdict:
    """How a trial ended: complete, pruned or failed, and why. ``saved_seconds``: what pruning spared the device."""

    state: TrialState
    reason: str = ""
    saved_seconds: float = 0.0


@dataclass(frozen=True)
class Explanation:
    """Variants that were pruned, and variants that were not tried, each with the reason."""

    pruned: Mapping[Variant, str] = field(default_factory=dict)
    untried: Mapping[Variant, str] = field(default_factory=dict)


class Strategy(Protocol):
    """Decides what to measure. One instance serves one search; it is called from one thread."""

    #: why there is nothing more to propose
    ended: str
    #: how many trials there will be, where that is known
    planned: int | None

    def resume(self, finished: Sequence[Trial], stages: Sequence[str], evidence: Evidence) -> None:
        """Once, before the first proposal: what an interrupted run had finished, in order."""

    def propose(self, evidence: Evidence, in_flight: Sequence[Proposal]) -> Proposal | None:
        """What to measure next. None: nothing now; nothing ever, if nothing is in flight."""

    def judge(self, proposal: Proposal, outcomes: Sequence[Trial], evidence: Evidence) -> Sequence[Verdict]:
        """Take in the trials of a proposal, in its order, which ``evidence`` has learned already."""

    def explain(self, evidence: Evidence) -> Explanation:
        """At the end: which variants were given up, and which were never tried, and why."""


def plain_verdict(outcome: Trial, schedule: Schedule) -> Verdict:
    """Failed without samples, pruned if the runner dropped the plan as slow, else complete."""
    if outcome.samples is None:
        return Verdict(TrialState.FAILED, outcome.reason)
    done = len(outcome.samples.total_ms)
    asked = schedule.rounds * schedule.turn_passes
    if schedule.slow_factor > 0 and done < asked and done <= schedule.turn_passes:
        spared = asked - done + (schedule.rounds - 1) * schedule.turn_warm_up
        return Verdict(
            TrialState.PRUNED,
            f"its first pass took more than {schedule.slow_factor:g} times the fastest plan's",
            spared * outcome.samples.total_ms[0] / 1000,
        )
    return Verdict(TrialState.COMPLETE)


def repaired(plan: Plan, failures: Iterable[str], space: ModelSpace) -> Plan:
    """``plan`` with ELL's default for the layers that made it fail, so that the other layers can be measured."""
    for node_id in failures:
        plan = plan.with_(node_id, space.by_id[node_id].default)
    return plan
