"""``auto``: a cost model proposes, races decide, and the search ends when there is little left to gain.

1. *Sketch*: ELL's default on every layer, and every way (method, tile, blocking, parallel) on some of them.
2. *Race*: the cost model, fitted to all layers, says of every variant, measured or not, how probable it is that it is
   the fastest of its layer. By these odds the variants get their places in the plans of the next visit, a short one, so
   that what the machine does to one visit does not decide. It goes on until choosing the leaders is expected to cost
   less than half of the tolerance.
3. *Final*: the leaders, the rivals that are left and ELL's default are measured against each other, round by round, as
   often as a verdict needs. A default that reads many other weights than the leader has visits of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.statistics import SIGNIFICANT_PAIRS
from ellopt.core.trial import Trial
from ellopt.search.evidence.effects import Variant
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.evidence.standings import Standings, behind, given_up, not_tried, standings
from ellopt.search.samplers.base import Explanation, Place, PlanSampler, Proposal
from ellopt.search.samplers.mixing import apart, race, sketch
from ellopt.search.settings import SearchSettings
from ellopt.space.space import ModelSpace

SKETCH, RACE, FINAL, ALONE = "sketch", "race", "final", "default"

#: More trials than any search makes.
_NO_LIMIT = 10_000


class RacingSampler(PlanSampler):
    """See the module. ``capacity`` devices share the plans of a visit, and the rounds of a final one."""

    def __init__(
        self,
        space: ModelSpace,
        settings: SearchSettings | None = None,
        evidence: Evidence | None = None,
        capacity: int = 1,
    ) -> None:
        settings = settings or SearchSettings()
        super().__init__(space, settings, evidence)
        c = self._c = self.evidence.constants
        self._settings, self._capacity = settings, max(1, capacity)
        self._groups = space.by_shape
        # What variants that take turns do not share has settled before passes are timed, so that the first pass of a
        # turn is as good as the next.
        self._sketch = Schedule(
            warm_up=0, rounds=1, turn_warm_up=0, turn_passes=c.sketch_passes, slow_factor=c.sketch_slow_factor
        )
        # Many turns of one pass tell more than few of many.
        self._race = Schedule(warm_up=0, rounds=1, turn_warm_up=0, turn_passes=1)
        self._final = Schedule(warm_up=1, rounds=c.final_rounds, turn_warm_up=0)
        self._alone = Schedule(warm_up=c.alone_warm_up, rounds=c.alone_rounds)
        self.most_passes = c.most_final_visits * self._final.passes
        self._queue: list[Proposal] = []
        self._made = 0
        self._busy_ms = 0.0
        self._sketched = False
        self._finals: set[str] = set()
        self._final_visits = 0
        self._behind: tuple[object, Mapping[Variant, str]] | None = None
        self.planned = settings.trials
        self.wants_most = False

    def _resume(self, finished: Sequence[tuple[Trial, Place]]) -> None:
        for trial, place in finished:
            self._take(trial, place)
            self._adopt(place)

    def _adopt(self, place: Place) -> None:
        self._sketched = self._sketched or place.stage == SKETCH
        if place.stage == FINAL:
            self._finals.add(place.visit)
            self._final_visits = max(self._final_visits, math.ceil(len(self._finals) / self._capacity))

    def _take(self, trial: Trial, place: Place) -> None:
        self._made += 1
        self._busy_ms += 1000 * trial.board_seconds

    def _propose(self, flying: Sequence[Place]) -> Proposal | None:
        if not self._queue and not flying:
            self._queue = self._next_stage()
        return self._queue.pop(0) if self._queue else None

    def hopeless(self, plan: Plan, stage: str) -> str | None:
        """Why every choice of ``plan`` is out of the race; finals, and what is measured for them, are not judged."""
        if stage in (FINAL, ALONE) or plan == self.space.default_plan or self._unmeasured():
            return None
        now = self.evidence.estimates(next(iter(self._groups)))  # another object when something was learned
        if self._behind is None or self._behind[0] is not now:
            self._behind = now, behind(self.evidence)
        layers, out = self.space.by_id, self._behind[1]
        reasons = [out.get((layers[n].shape, o), "") for n, o in plan.items() if o != layers[n].default]
        return f"every choice is clearly behind, e.g. {reasons[0]}" if reasons and all(reasons) else ""

    def explain(self) -> Explanation:
        if self._unmeasured():
            return Explanation()
        return Explanation(given_up(self.evidence), not_tried(self.evidence))

    # The stages

    def _next_stage(self) -> list[Proposal]:
        c, tolerance = self._c, self._settings.tolerance
        room = _NO_LIMIT if self._settings.trials is None else self._settings.trials - self._made
        if room < 1:
            self.ended = "the limit of trials was reached"
            return []
        if self._unmeasured():
            if self._sketched:
                self.ended = "not every layer could be measured"
                return []
            self._sketched = True
            return self._shared_out(sketch(self.space, c.shapes_for_simple)[:room], SKETCH, self._sketch)
        standing = standings(self.evidence, self._generator())
        expected = standing.loss <= c.expected_share * tolerance
        enough = expected and min(map(self.evidence.visits, self._groups)) >= c.least_visits
        if not enough and self._busy_ms < c.longest * standing.total_ms:
            return self._shared_out(self._race_plans(standing)[:room], RACE, self._race_schedule())
        rivals_left = self._final_visits < c.final_visits and self._unmet(standing)
        if self._final_visits < c.most_final_visits and (rivals_left or self._uncompared(standing)):
            return self._final_stage(standing, room)
        limit = (
            f"less than {tolerance:.2%}"
            if standing.loss <= tolerance
            else f"but measuring took as long as {c.longest} passes of the best"
        )
        self.ended = f"what is left to gain is expected to be {standing.loss:.2%} of the model's latency, {limit}"
        return []

    def _race_plans(self, standing: Standings) -> list[Plan]:
        measured = {shape: self.evidence.estimates(shape) for shape in self._groups}
        count = self._c.race_plans * self._capacity
        return race(self.space, standing.odds, measured, count, self._generator())

    def _race_schedule(self) -> Schedule:
        many = self.evidence.spoiled_share > self._c.many_spoiled
        return replace(self._race, turn_passes=self._c.more_passes) if many else self._race

    def _final_stage(self, standing: Standings, room: int) -> list[Proposal]:
        """The leaders against their last rivals and, where that was not done yet, against ELL's default.

        What had its visits is only there as a part of the model.
        """
        self._final_visits += 1
        finalists = self._c.finalists if self._final_visits <= self._c.final_visits else 1
        uncompared = self._uncompared(standing)
        alone = {
            shape for shape in uncompared if apart(shape, standing.odds[shape].leader, self._groups[shape][0].default)
        }
        wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
        for shape, found in standing.odds.items():
            rivals = [o for o in found.rivals(self._c.final_chance) if not apart(shape, o, found.leader)]
            defaults = [self._groups[shape][0].default] if shape in uncompared - alone else []
            wanted[shape] = list(dict.fromkeys([found.leader, *rivals[: finalists - 1], *defaults]))
        leaders = self.space.plan_of_shapes(standing.leaders)
        plans = Plan.covering({layer.node_id: wanted[layer.shape] for layer in self.space.layers}, rest=leaders)
        rounds = math.ceil(self._final.rounds / self._capacity)
        proposals = [Proposal(plans[:room], replace(self._final, rounds=rounds), FINAL)] * self._capacity
        if alone and len(plans) < room:
            defaults_alone = {layer.node_id: layer.default for layer in self.space.layers if layer.shape in alone}
            proposals.append(Proposal((leaders.with_all(defaults_alone),), self._alone, ALONE))
        return proposals

    # What they need to know

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng([self._settings.seed, self._made])

    def _unmeasured(self) -> bool:
        return any(self.evidence.best(shape) is None for shape in self._groups)

    def _uncompared(self, standing: Standings) -> set[ConvolutionShape]:
        """The shapes whose leader was not compared with ELL's default often enough for a verdict."""
        found = set()
        for shape, leader in standing.leaders.items():
            default = self._groups[shape][0].default
            if apart(shape, leader, default):
                rounds = {(sample.visit, sample.round) for sample in self.evidence.samples(shape, default)}
                enough = len(rounds) >= self._c.final_visits * self._alone.rounds
            else:
                enough = len(self.evidence.log_ratios(shape, leader, default)) >= SIGNIFICANT_PAIRS
            if leader != default and not enough:
                found.add(shape)
        return found

    def _unmet(self, standing: Standings) -> bool:
        """Whether a leader has a rival that noise could have swapped it with and that it did not meet often enough."""
        return any(
            len(self.evidence.log_ratios(shape, found.leader, rival)) < SIGNIFICANT_PAIRS
            for shape, found in standing.odds.items()
            for rival in found.rivals(self._c.final_chance)[: self._c.finalists - 1]
            if not apart(shape, rival, found.leader)
        )

    def _shared_out(self, plans: Sequence[Plan], stage: str, schedule: Schedule) -> list[Proposal]:
        """A proposal for each device, or fewer where there are few plans."""
        parts = max(1, min(self._capacity, len(plans) // 3))
        return [Proposal(tuple(plans[i::parts]), schedule, stage) for i in range(parts)]
