"""Exhaustive: every distinct variant of every layer, each measured once; then the fastest meet again."""

from __future__ import annotations

from collections.abc import Sequence

from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.rematch import Rematch
from ellopt.search.settings import SearchSettings
from ellopt.search.strategy import Explanation, Proposal, Verdict, plain_verdict, repaired
from ellopt.space.space import ModelSpace

STAGE = "grid"


class Grid:
    """Trial t gives each layer its t-th variant; a layer that has no more starts again, which counts for nothing.

    So there are as many trials as the layer with the most variants has. Plans of one visit are interleaved, and
    10 rounds with warm caches tell as much as the original's 10 and 20 passes in one go. A plan that fails
    by one of its layers is followed by one in which those layers are replaced, for the sake of the others.
    """

    def __init__(self, space: ModelSpace, settings: SearchSettings) -> None:
        plans = space.covering_plans()
        self._plans = plans if settings.trials is None else plans[: settings.trials]
        self._cut = len(self._plans) < len(plans)
        self._schedule = Schedule(
            warm_up=1 if settings.warm_up is None else settings.warm_up,
            rounds=10 if settings.rounds is None else settings.rounds,
        )
        self._per_visit = settings.plans_per_visit or 16
        self._space = space
        self._done: set[Plan] = set()
        self._repairs: list[Plan] = []
        self._trials = settings.trials
        self._rematch = Rematch(space, settings.seed, *(() if settings.repeat else (0,)))
        self.planned: int | None = len(self._plans)
        self.ended = ""

    def resume(self, finished: Sequence[Trial], stages: Sequence[str], evidence: Evidence) -> None:
        self._take([o for o, stage in zip(finished, stages, strict=True) if stage == STAGE])
        self._rematch.resume(finished, stages)
        self.planned = (self.planned or 0) + sum(stage != STAGE for stage in stages)

    def propose(self, evidence: Evidence, in_flight: Sequence[Proposal]) -> Proposal | None:
        taken = self._done.union(*(proposal.plans for proposal in in_flight))
        rest = [plan for plan in (*self._plans, *self._repairs) if plan not in taken]
        if not rest and in_flight:
            return None
        if not rest:
            room = None if self._trials is None else max(0, self._trials - len(self._done))
            if (again := None if self._cut else self._rematch.propose(evidence, room)) is not None:
                self.planned = (self.planned or 0) + len(again.plans)
                return again
            self.ended = "the limit of trials was reached" if self._cut else "every distinct variant was measured"
            return None
        return Proposal(tuple(rest[: self._per_visit]), self._schedule, STAGE)

    def judge(self, proposal: Proposal, outcomes: Sequence[Trial], evidence: Evidence) -> Sequence[Verdict]:
        if proposal.stage == STAGE:
            self._take(outcomes)
        return [plain_verdict(outcome, proposal.schedule) for outcome in outcomes]

    def explain(self, evidence: Evidence) -> Explanation:
        return Explanation()

    def _take(self, outcomes: Sequence[Trial]) -> None:
        self._done.update(outcome.plan for outcome in outcomes)
        self._repairs += [repaired(o.plan, o.failures, self._space) for o in outcomes if o.failures]
        self._repairs = [plan for plan in dict.fromkeys(self._repairs) if plan not in self._done]
        self.planned = len(self._done) + len([p for p in self._plans if p not in self._done]) + len(self._repairs)
