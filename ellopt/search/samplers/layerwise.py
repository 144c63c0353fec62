"""Adaptive search by an Optuna sampler for each layer shape: tpe, random, or one that the user names.

A plan joins what the shapes' studies propose next. Its total says little of a single choice, but every layer is timed
by itself, so each study is told its own layer's latency. Layers of equal shape are as many proposals in one plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.rematch import STAGE, Rematch
from ellopt.search.samplers.optuna_samplers import make_sampler
from ellopt.search.settings import DEFAULT_TRIALS, SearchSettings
from ellopt.search.shape_study import ShapeStudy
from ellopt.search.strategy import Explanation, Proposal, Verdict, plain_verdict
from ellopt.space.space import ModelSpace

EXPLORE, PLAYOFF = "explore", STAGE
#: How many variants of a layer meet in the playoff, and in how many visits if there are trials enough.
FINALISTS, PLAYOFFS = 4, 2


class Layerwise:
    """``trials`` plans: the first is ELL's default, the last few are the playoff, in which those that may be the best
    of each shape are measured against each other, round by round. Ends early when every variant has been tried."""

    def __init__(self, space: ModelSpace, settings: SearchSettings) -> None:
        self._space = space
        self._trials = settings.trials or DEFAULT_TRIALS
        finalists = (
            0 if not settings.repeat else FINALISTS if self._trials >= 4 * FINALISTS else 2 if self._trials >= 8 else 0
        )
        playoffs = PLAYOFFS if self._trials >= 4 * FINALISTS * PLAYOFFS else min(1, finalists)
        self._reserved = finalists * playoffs
        self._rematch = Rematch(space, settings.seed, playoffs, finalists)
        self._schedule = Schedule(
            warm_up=1 if settings.warm_up is None else settings.warm_up,
            rounds=5 if settings.rounds is None else settings.rounds,
        )
        self._per_visit = settings.plans_per_visit or 6
        self._studies = {
            shape: ShapeStudy(layers[0].variants, make_sampler(settings.sampler, settings.seed + i), settings.seed + i)
            for i, (shape, layers) in enumerate(space.by_shape.items())
        }
        self._explored = 0
        self._explored_now = False
        self._recalled = 0
        self._played = False
        self.planned: int | None = self._trials
        self.ended = ""

    def resume(self, finished: Sequence[Trial], stages: Sequence[str], evidence: Evidence) -> None:
        self._recall(evidence)
        for outcome, stage in zip(finished, stages, strict=True):
            if stage != PLAYOFF:
                self._explored += 1
                self._tell(outcome, evidence)
        self._rematch.resume(finished, stages)
        self._played = self._rematch.made > 0

    def _recall(self, evidence: Evidence) -> None:
        """Tell the studies what earlier runs measured; the shape of which least is known counts as so many trials."""
        counts = []
        for shape, study in self._studies.items():
            stored = [o for o in evidence.estimates(shape) if evidence.only_stored(shape, o)]
            for options in stored:
                study.tell(options, evidence.estimates(shape)[options].ms)
            if study.untried:
                counts.append(len(stored) // len(self._space.by_shape[shape]))
        self._recalled = min(counts, default=self._trials)
        self._explored += self._recalled

    def propose(self, evidence: Evidence, in_flight: Sequence[Proposal]) -> Proposal | None:
        flying = sum(len(p.plans) for p in in_flight if p.stage == EXPLORE)
        room = self._trials - self._reserved - self._explored - flying
        if room > 0 and not self._played:
            plans = self._explore(min(room, self._per_visit), evidence, first=self._explored + flying == 0)
            if plans:
                return Proposal(plans, self._schedule, EXPLORE)
        if in_flight:
            return None
        return self._playoff(evidence)

    def judge(self, proposal: Proposal, outcomes: Sequence[Trial], evidence: Evidence) -> Sequence[Verdict]:
        for outcome in outcomes:
            if proposal.stage != PLAYOFF:
                self._explored += 1
                self._explored_now = True
                self._tell(outcome, evidence)
        return [plain_verdict(outcome, proposal.schedule) for outcome in outcomes]

    def explain(self, evidence: Evidence) -> Explanation:
        return Explanation()

    def _explore(self, count: int, evidence: Evidence, first: bool) -> tuple[Plan, ...]:
        plans = []
        if first:
            plans.append(self._space.default_plan)
            for shape, layers in self._space.by_shape.items():
                self._studies[shape].claim(layers[0].default)
        while len(plans) < count:
            choices: dict[str, ConvolutionOptions] = {}
            new = False
            for shape, layers in self._space.by_shape.items():
                best = evidence.best(shape)
                for layer in layers:
                    proposed = self._studies[shape].ask()
                    new = new or proposed is not None
                    choices[layer.node_id] = proposed or (best.options if best else layer.default)
            if not new:
                break
            plans.append(Plan(tuple((layer.node_id, choices[layer.node_id]) for layer in self._space.layers)))
        return tuple(plans)

    def _tell(self, outcome: Trial, evidence: Evidence) -> None:
        for layer in self._space.layers:
            options = outcome.plan[layer.node_id]
            study = self._studies[layer.shape]
            if options in evidence.failed(layer.shape):
                study.tell(options, None)
            elif (estimate := evidence.estimates(layer.shape).get(options)) is not None:
                study.tell(options, estimate.ms)
            else:  # another layer made the plan fail: these may be proposed again
                study.release(options)

    def _playoff(self, evidence: Evidence) -> Proposal | None:
        explored = self._explored_now or self._played or not self._recalled
        if explored and self._reserved and (again := self._rematch.propose(evidence)) is not None:
            self._played = True
            return again
        everything = all(not study.untried for study in self._studies.values())
        self.ended = "every distinct variant was tried" if everything else "the limit of trials was reached"
        if self._recalled and not self._explored_now:
            self.ended += " by earlier runs"
        return None
