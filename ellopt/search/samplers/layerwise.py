"""Adaptive search by an Optuna sampler for each layer shape: tpe, random, or any other.

A plan joins what the shapes' studies propose next. Its total says little of a single choice, but every layer is timed
by itself, so each study is told its own layer's latency. Layers of equal shape are as many proposals in one plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.samplers import BaseSampler

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.samplers.base import Place, PlanSampler, Proposal
from ellopt.search.samplers.rematch import STAGE as PLAYOFF
from ellopt.search.samplers.rematch import Rematch
from ellopt.search.settings import DEFAULT_TRIALS, SearchSettings
from ellopt.search.shape_study import ShapeStudy
from ellopt.space.space import ModelSpace

EXPLORE = "explore"


class LayerwiseSampler(PlanSampler):
    """``trials`` plans: the first is ELL's default, the last few are the playoff, in which those that may be the best
    of each shape are measured against each other, round by round. Ends early when every variant has been tried.

    ``inner`` makes the sampler of a shape from a seed.
    """

    def __init__(
        self,
        space: ModelSpace,
        inner: Callable[[int], BaseSampler],
        settings: SearchSettings | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        settings = settings or SearchSettings()
        super().__init__(space, settings, evidence)
        c = self.evidence.constants
        self._trials = settings.trials or DEFAULT_TRIALS
        finalists = (
            0
            if not settings.repeat
            else c.rematch_rivals
            if self._trials >= 4 * c.rematch_rivals
            else 2
            if self._trials >= 8
            else 0
        )
        enough = self._trials >= 4 * c.rematch_rivals * c.bounded_rematch_visits
        playoffs = c.bounded_rematch_visits if enough else min(1, finalists)
        self._reserved = finalists * playoffs
        self._rematch = Rematch(space, self.evidence, settings.seed, playoffs, finalists)
        self._schedule = Schedule(
            warm_up=1 if settings.warm_up is None else settings.warm_up,
            rounds=c.layerwise_rounds if settings.rounds is None else settings.rounds,
        )
        self._per_visit = settings.plans_per_visit or c.layerwise_plans
        self._studies = {
            shape: ShapeStudy(layers[0].variants, inner(settings.seed + i), settings.seed + i)
            for i, (shape, layers) in enumerate(space.by_shape.items())
        }
        self._explored = 0
        self._explored_now = False
        self._recalled = 0
        self._played = False
        self.planned = self._trials

    def _resume(self, finished: Sequence[tuple[Trial, Place]]) -> None:
        self._recall()
        for trial, place in finished:
            if place.stage != PLAYOFF:
                self._explored += 1
                self._tell(trial)
        self._rematch.resume(finished)
        self._played = self._rematch.made > 0

    def _recall(self) -> None:
        """Tell the studies what earlier runs measured; the shape of which least is known counts as so many trials."""
        counts = []
        for shape, study in self._studies.items():
            estimates = self.evidence.estimates(shape)
            stored = [o for o in estimates if self.evidence.only_stored(shape, o)]
            for options in stored:
                study.tell(options, estimates[options].ms)
            if study.untried:
                counts.append(len(stored) // len(self.space.by_shape[shape]))
        self._recalled = min(counts, default=self._trials)
        self._explored += self._recalled

    def _propose(self, flying: Sequence[Place]) -> Proposal | None:
        exploring = sum(place.stage != PLAYOFF for place in flying)
        room = self._trials - self._reserved - self._explored - exploring
        if room > 0 and not self._played:
            plans = self._explore(min(room, self._per_visit), first=self._explored + exploring == 0)
            if plans:
                return Proposal(plans, self._schedule, EXPLORE)
        return None if flying else self._playoff()

    def _take(self, trial: Trial, place: Place) -> None:
        if place.stage != PLAYOFF:
            self._explored += 1
            self._explored_now = True
            self._tell(trial)

    def _adopt(self, place: Place) -> None:
        self._rematch.adopt(place)
        self._played = self._rematch.made > 0
        for node_id, options in place.plan.items():
            self._studies[self.evidence.shape_of(node_id)].claim(options)

    def _explore(self, count: int, first: bool) -> tuple[Plan, ...]:
        plans = []
        if first:
            plans.append(self.space.default_plan)
            for shape, layers in self.space.by_shape.items():
                self._studies[shape].claim(layers[0].default)
        while len(plans) < count:
            choices: dict[str, ConvolutionOptions] = {}
            new = False
            for shape, layers in self.space.by_shape.items():
                best = self.evidence.best(shape)
                for layer in layers:
                    proposed = self._studies[shape].ask()
                    new = new or proposed is not None
                    choices[layer.node_id] = proposed or (best.options if best else layer.default)
            if not new:
                break
            plans.append(self.space.default_plan.with_all(choices))
        return tuple(plans)

    def _tell(self, trial: Trial) -> None:
        for layer in self.space.layers:
            options = trial.plan[layer.node_id]
            study = self._studies[layer.shape]
            if options in self.evidence.failed(layer.shape):
                study.tell(options, None)
            elif (estimate := self.evidence.estimates(layer.shape).get(options)) is not None:
                study.tell(options, estimate.ms)
            else:  # another layer made the plan fail: these may be proposed again
                study.release(options)

    def _playoff(self) -> Proposal | None:
        explored = self._explored_now or self._played or not self._recalled
        if explored and self._reserved and (again := self._rematch.propose()) is not None:
            self._played = True
            return again
        everything = all(not study.untried for study in self._studies.values())
        self.ended = "every distinct variant was tried" if everything else "the limit of trials was reached"
        if self._recalled and not self._explored_now:
            self.ended += " by earlier runs"
        return None
