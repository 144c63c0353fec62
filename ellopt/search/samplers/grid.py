"""Exhaustive: every distinct variant of every layer, each measured once; then the fastest meet again."""

from __future__ import annotations

from collections.abc import Sequence

from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.samplers.base import Place, PlanSampler, Proposal, repaired
from ellopt.search.samplers.rematch import STAGE as PLAYOFF
from ellopt.search.samplers.rematch import Rematch
from ellopt.search.settings import SearchSettings
from ellopt.space.space import ModelSpace

STAGE = "grid"


class GridSampler(PlanSampler):
    """Trial t gives each layer its t-th variant; a layer that has no more starts again, which counts for nothing.

    So there are as many trials as the layer with the most variants has. Plans of one visit are interleaved, and
    10 rounds with warm caches tell as much as the original's 10 and 20 passes in one go. A plan that fails
    by one of its layers is followed by one in which those layers are replaced, for the sake of the others.
    """

    def __init__(
        self, space: ModelSpace, settings: SearchSettings | None = None, evidence: Evidence | None = None
    ) -> None:
        settings = settings or SearchSettings()
        super().__init__(space, settings, evidence)
        c = self.evidence.constants
        plans = space.covering_plans()
        self._plans = plans if settings.trials is None else plans[: settings.trials]
        self._cut = len(self._plans) < len(plans)
        self._schedule = Schedule(
            warm_up=1 if settings.warm_up is None else settings.warm_up,
            rounds=c.grid_rounds if settings.rounds is None else settings.rounds,
        )
        self._per_visit = settings.plans_per_visit or c.grid_plans
        self._done: set[Plan] = set()
        self._repairs: list[Plan] = []
        self._trials = settings.trials
        visits = c.rematch_visits if settings.repeat else 0
        self._rematch = Rematch(space, self.evidence, settings.seed, visits, c.rematch_rivals)
        self.planned = len(self._plans)

    def _resume(self, finished: Sequence[tuple[Trial, Place]]) -> None:
        for trial, place in finished:
            self._take(trial, place)
        self._rematch.resume(finished)
        self.planned = (self.planned or 0) + sum(place.stage == PLAYOFF for _, place in finished)

    def _propose(self, flying: Sequence[Place]) -> Proposal | None:
        taken = self._done.union(place.plan for place in flying)
        rest = [plan for plan in (*self._plans, *self._repairs) if plan not in taken]
        if rest:
            return Proposal(tuple(rest[: self._per_visit]), self._schedule, STAGE)
        if flying:
            return None
        room = None if self._trials is None else max(0, self._trials - len(self._done))
        if (again := None if self._cut else self._rematch.propose(room)) is not None:
            self.planned = (self.planned or 0) + len(again.plans)
            return again
        self.ended = "the limit of trials was reached" if self._cut else "every distinct variant was measured"
        return None

    def _take(self, trial: Trial, place: Place) -> None:
        if place.stage != STAGE:
            return
        self._done.add(trial.plan)
        if trial.failures:
            self._repairs.append(repaired(trial.plan, trial.failures, self.space))
        self._repairs = [plan for plan in dict.fromkeys(self._repairs) if plan not in self._done]
        self.planned = len(self._done) + len([p for p in self._plans if p not in self._done]) + len(self._repairs)

    def _adopt(self, place: Place) -> None:
        self._rematch.adopt(place)

    def _once(self, stage: str) -> bool:
        return stage != PLAYOFF
