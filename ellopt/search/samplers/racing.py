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
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ellopt.core.methods import find_method
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.statistics import SIGNIFICANT_PAIRS
from ellopt.core.trial import Trial, TrialState
from ellopt.search.evidence.effects import Variant
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.evidence.odds import Odds, odds
from ellopt.search.settings import SearchSettings
from ellopt.search.strategy import Explanation, Proposal, Verdict, plain_verdict
from ellopt.space.space import ModelSpace
from ellopt.toolchains.settling import BYTES_PER_PASS, MOST_PASSES

SKETCH, RACE, FINAL, ALONE = "sketch", "race", "final", "default"

#: What variants that take turns do not share has settled before passes are timed, so that the first pass of a turn is
#: as good as the next. What is slow at first sight has no second pass.
SKETCH_SCHEDULE = Schedule(warm_up=0, rounds=1, turn_warm_up=0, turn_passes=2, slow_factor=3.0)
#: Later many turns of one pass tell more than few of many.
RACE_SCHEDULE = Schedule(warm_up=0, rounds=1, turn_warm_up=0, turn_passes=1)
PLANS_PER_VISIT = 10
#: Two final visits are enough for a verdict if nothing disturbs them; two more at most.
FINAL_SCHEDULE = Schedule(warm_up=1, rounds=SIGNIFICANT_PAIRS // 2, turn_warm_up=0)
FINAL_VISITS, MOST_FINAL_VISITS = 2, 4
#: Where the default reads other weights than the leader, and many, going to and fro would take more untimed passes than
#: timed ones: it is measured by itself, so often in each visit, and compared without pairs.
ALONE_SCHEDULE = Schedule(warm_up=MOST_PASSES, rounds=2)
#: Variants of a shape in these visits, ELL's default not counted, and how probably the best one has to be to be there.
FINALISTS, LEAST_CHANCE = 3, 0.05
#: Of the allowed loss, what may be expected when the race ends, and the visits that each shape was measured in before:
#: what holds in one may not hold in the next.
EXPECTED_SHARE, LEAST_VISITS = 0.5, 5
#: The race ends, whatever may still be gained, when it took as long as so many passes of the best plan. A hundredth of
#: the original sweep is 262 passes of a plan of medium speed.
LONGEST = 200
#: From this share of spoiled samples on, a turn has so many timed passes.
MANY_SPOILED, MORE_PASSES = 0.12, 2
#: A posterior this many standard deviations above the best is out of the race.
BEHIND = 2.5
#: Simple convolutions are sketched on this many shapes, those with the least work.
SHAPES_FOR_SIMPLE = 2

Wanted = Mapping[ConvolutionShape, Sequence[ConvolutionOptions]]


@dataclass(frozen=True)
class _Standings:
    """The odds of every shape, and what choosing the leaders is expected to cost as a share of the model's latency."""

    odds: Mapping[ConvolutionShape, Odds]
    total_ms: float
    loss: float

    @property
    def leaders(self) -> Mapping[ConvolutionShape, ConvolutionOptions]:
        return {shape: found.leader for shape, found in self.odds.items()}


class Racing:
    """See the module. ``capacity`` devices share the plans of a visit, and the rounds of a final one."""

    def __init__(self, space: ModelSpace, settings: SearchSettings, capacity: int = 1) -> None:
        self._space, self._settings, self._capacity = space, settings, max(1, capacity)
        self._groups = space.by_shape
        self._queue: list[Proposal] = []
        self._made = 0
        self._busy_ms = 0.0
        self._sketched = False
        self._final_visits = 0
        self.planned: int | None = settings.trials
        self.ended = ""

    def resume(self, finished: Sequence[Trial], stages: Sequence[str], evidence: Evidence) -> None:
        self._count(finished)
        self._sketched = SKETCH in stages
        finals = {o.visit.uid for o, stage in zip(finished, stages, strict=True) if o.visit and stage == FINAL}
        self._final_visits = math.ceil(len(finals) / self._capacity)

    def propose(self, evidence: Evidence, in_flight: Sequence[Proposal]) -> Proposal | None:
        if not self._queue and not in_flight:
            self._queue = self._next_stage(evidence)
        return self._queue.pop(0) if self._queue else None

    def judge(self, proposal: Proposal, outcomes: Sequence[Trial], evidence: Evidence) -> Sequence[Verdict]:
        self._count(outcomes)
        verdicts = [plain_verdict(outcome, proposal.schedule) for outcome in outcomes]
        if proposal.stage in (FINAL, ALONE) or self._unmeasured(evidence):
            return verdicts
        behind = self.behind(evidence)
        return [self._verdict(o, v, behind) for o, v in zip(outcomes, verdicts, strict=True)]

    def explain(self, evidence: Evidence) -> Explanation:
        if self._unmeasured(evidence):
            return Explanation()
        model = evidence.cost_model
        untried: dict[Variant, str] = {}
        for shape in self._groups:
            known, best = evidence.estimates(shape), evidence.best(shape)
            rest = [o for o in evidence.candidates(shape) if o not in known]
            for options, mean in zip(rest, model.predict(shape, rest).mean if rest else (), strict=True):
                if best is not None:
                    untried[shape, options] = (
                        f"expected to take {math.exp(mean) / best.ms:.2f} times the best's latency"
                    )
        behind = self.behind(evidence)
        given_up = {(s, o): why for (s, o), why in behind.items() if evidence.estimates(s)[o].count < SIGNIFICANT_PAIRS}
        return Explanation(given_up, untried)

    # The stages

    def _next_stage(self, evidence: Evidence) -> list[Proposal]:
        room = 10_000 if self._settings.trials is None else self._settings.trials - self._made
        if room < 1:
            self.ended = "the limit of trials was reached"
            return []
        if self._unmeasured(evidence):
            if self._sketched:
                self.ended = "not every layer could be measured"
                return []
            self._sketched = True
            return self._shared_out(self._sketch()[:room], SKETCH, SKETCH_SCHEDULE)
        standings = self._standings(evidence)
        expected = standings.loss <= EXPECTED_SHARE * self._settings.tolerance
        enough = expected and min(map(evidence.visits, self._groups)) >= LEAST_VISITS
        if not enough and self._busy_ms < LONGEST * standings.total_ms:
            plans = self._race(evidence, standings)[:room]
            return self._shared_out(plans, RACE, self._schedule(evidence))
        rivals_left = self._final_visits < FINAL_VISITS and self._unmet(evidence, standings)
        if self._final_visits < MOST_FINAL_VISITS and (rivals_left or self._uncompared(evidence, standings)):
            return self._final(evidence, standings, room)
        limit = (
            f"less than {self._settings.tolerance:.2%}"
            if standings.loss <= self._settings.tolerance
            else (f"but measuring took as long as {LONGEST} passes of the best")
        )
        self.ended = f"what is left to gain is expected to be {standings.loss:.2%} of the model's latency, {limit}"
        return []

    def _sketch(self) -> list[Plan]:
        """The default, then every way on every second shape that it applies to, simple ones on the smallest.

        What runs in parallel is together, and what does not: a thread that slept through the layers before is late.
        """
        plans = [self._space.default_plan]
        shapes = sorted(self._groups, key=lambda shape: shape.multiply_adds)
        for parallel in (False, True):
            wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
            for i, shape in enumerate(shapes):
                ways: dict[tuple[str, int, str], list[ConvolutionOptions]] = {}
                for o in self._groups[shape][0].variants:
                    if o.parallelize == parallel:
                        ways.setdefault(o.way, []).append(o)
                chosen = [
                    _member(members, i)
                    for w, members in enumerate(ways.values())
                    if (i < SHAPES_FOR_SIMPLE if not find_method(members[0].method).likely else (i + w) % 2 == 0)
                ]
                wanted[shape] = chosen or [self._groups[shape][0].default]
                if parallel and _heavy(shape, wanted[shape]):
                    wanted[shape].reverse()  # on with the weights that were read last
            plans += self._mixed(wanted)
        return list(dict.fromkeys(plans))

    def _race(self, evidence: Evidence, standings: _Standings) -> list[Plan]:
        """Plans in which the variants of each shape have places by their odds.

        What other shapes say of a method may not hold for this one: each is tried, but for simple convolutions. Where
        a shape has many weights, variants that read the same ones follow each other: each change takes passes until
        they have settled in the caches.
        """
        count = PLANS_PER_VISIT * self._capacity
        generator = np.random.default_rng([self._settings.seed, self._made])
        wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
        for shape, found in standings.odds.items():
            untried = _untried(found, evidence.estimates(shape))
            seats = [*untried, *found.seats(count * len(self._groups[shape]) - len(untried))]
            wanted[shape] = [seats[i] for i in generator.permutation(len(seats))]
            if _heavy(shape, seats):
                ways = [options.way for options in wanted[shape]]
                wanted[shape].sort(key=lambda options: ways.index(options.way))
        return self._mixed(wanted)

    def _final(self, evidence: Evidence, standings: _Standings, room: int) -> list[Proposal]:
        """The leaders against their last rivals and, where that was not done yet, against ELL's default.

        What had its visits is only there as a part of the model.
        """
        self._final_visits += 1
        finalists = FINALISTS if self._final_visits <= FINAL_VISITS else 1
        uncompared = self._uncompared(evidence, standings)
        alone = {
            shape for shape in uncompared if _apart(shape, standings.odds[shape].leader, self._groups[shape][0].default)
        }
        wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
        for shape, found in standings.odds.items():
            rivals = [o for o in found.rivals(LEAST_CHANCE) if not _apart(shape, o, found.leader)][: finalists - 1]
            defaults = [self._groups[shape][0].default] if shape in uncompared - alone else []
            wanted[shape] = list(dict.fromkeys([found.leader, *rivals, *defaults]))
        plans = tuple(
            Plan(
                tuple(
                    (layer.node_id, choices[t] if t < len(choices := wanted[layer.shape]) else choices[0])
                    for layer in self._space.layers
                )
            )
            for t in range(max(map(len, wanted.values())))
        )
        rounds = math.ceil(FINAL_SCHEDULE.rounds / self._capacity)
        proposals = [Proposal(plans[:room], replace(FINAL_SCHEDULE, rounds=rounds), FINAL)] * self._capacity
        if alone and len(plans) < room:
            plan = self._plan(lambda s: self._groups[s][0].default if s in alone else wanted[s][0])
            proposals.append(Proposal((plan,), ALONE_SCHEDULE, ALONE))
        return proposals

    # What they are made of

    def _count(self, outcomes: Sequence[Trial]) -> None:
        self._made += len(outcomes)
        self._busy_ms += 1000 * sum(outcome.board_seconds for outcome in outcomes)

    def _unmeasured(self, evidence: Evidence) -> bool:
        return any(evidence.best(shape) is None for shape in self._groups)

    def _schedule(self, evidence: Evidence) -> Schedule:
        many = evidence.spoiled_share > MANY_SPOILED
        return replace(RACE_SCHEDULE, turn_passes=MORE_PASSES) if many else RACE_SCHEDULE

    def _standings(self, evidence: Evidence) -> _Standings:
        model = evidence.cost_model
        generator = np.random.default_rng([self._settings.seed, self._made])
        found: dict[ConvolutionShape, Odds] = {}
        for shape in self._groups:
            posterior = model.predict(shape, evidence.candidates(shape))
            known = evidence.estimates(shape)
            measured = [i for i, options in enumerate(posterior.variants) if options in known]
            leader = posterior.variants[min(measured, key=lambda i: float(posterior.mean[i]))]
            found[shape] = odds(posterior, leader, generator)
        plan = self._plan(lambda shape: found[shape].leader)
        total = evidence.predict_ms(plan) or math.inf
        loss = sum(len(self._groups[shape]) * o.regret_ms for shape, o in found.items()) / total
        return _Standings(found, total, loss)

    def _uncompared(self, evidence: Evidence, standings: _Standings) -> set[ConvolutionShape]:
        """The shapes whose leader was not compared with ELL's default often enough for a verdict."""
        found = set()
        for shape, leader in standings.leaders.items():
            default = self._groups[shape][0].default
            if _apart(shape, leader, default):
                rounds = {(sample.visit, sample.round) for sample in evidence.samples(shape, default)}
                enough = len(rounds) >= FINAL_VISITS * ALONE_SCHEDULE.rounds
            else:
                enough = len(evidence.log_ratios(shape, leader, default)) >= SIGNIFICANT_PAIRS
            if leader != default and not enough:
                found.add(shape)
        return found

    def _unmet(self, evidence: Evidence, standings: _Standings) -> bool:
        """Whether a leader has a rival that noise could have swapped it with and that it did not meet often enough."""
        return any(
            len(evidence.log_ratios(shape, found.leader, rival)) < SIGNIFICANT_PAIRS
            for shape, found in standings.odds.items()
            for rival in found.rivals(LEAST_CHANCE)[: FINALISTS - 1]
            if not _apart(shape, rival, found.leader)
        )

    def _plan(self, choose: Callable[[ConvolutionShape], ConvolutionOptions]) -> Plan:
        """The plan that computes all layers of a shape alike."""
        return Plan(tuple((layer.node_id, choose(layer.shape)) for layer in self._space.layers))

    def behind(self, evidence: Evidence) -> dict[Variant, str]:
        """The measured variants that are out of the race, and why."""
        model = evidence.cost_model
        out: dict[Variant, str] = {}
        for shape in self._groups:
            best = evidence.best(shape)
            measured = evidence.estimates(shape)
            if best is None:
                continue
            posterior = model.predict(shape, tuple(measured))
            low = posterior.mean - BEHIND * posterior.deviation
            for options, bound in zip(measured, low, strict=True):
                if bound > math.log(best.ms) and options != best.options:
                    slower = measured[options].ms / best.ms
                    passes = measured[options].count
                    out[shape, options] = f"{slower:.2f} times the latency of {best.options} after {passes} passes"
        return out

    def _verdict(self, outcome: Trial, verdict: Verdict, behind: Mapping[Variant, str]) -> Verdict:
        """Pruned, if nothing new in the plan is in the race any more."""
        if outcome.samples is None or outcome.plan == self._space.default_plan:
            return verdict
        layers = self._space.by_id
        reasons = [behind.get((layers[n].shape, o), "") for n, o in outcome.plan.items() if o != layers[n].default]
        if not all(reasons) or not reasons:
            return Verdict(TrialState.COMPLETE)
        passes = MOST_FINAL_VISITS * FINAL_SCHEDULE.passes - len(outcome.samples.total_ms)
        spared = passes * float(np.median(outcome.samples.total_ms)) / 1000
        return Verdict(TrialState.PRUNED, f"every choice is clearly behind, e.g. {reasons[0]}", spared)

    def _mixed(self, wanted: Wanted) -> list[Plan]:
        """The fewest plans in which everything wanted of a shape occurs, layers of equal shape taking turns.

        What is wanted of several ways to read many weights is not repeated before the next comes, the rest is.
        """
        choices: dict[str, list[ConvolutionOptions]] = {}
        for shape, options in wanted.items():
            layers = self._groups[shape]
            rows = math.ceil(len(options) / len(layers))
            for j, layer in enumerate(layers):
                choices[layer.node_id] = [options[(t * len(layers) + j) % len(options)] for t in range(rows)]
        count = max(map(len, choices.values()))
        for layer in self._space.layers:
            row = choices[layer.node_id]
            heavy = _heavy(layer.shape, row)
            choices[layer.node_id] = [row[t * len(row) // count if heavy else t % len(row)] for t in range(count)]
        return list(dict.fromkeys(Plan(tuple((n, row[t]) for n, row in choices.items())) for t in range(count)))

    def _shared_out(self, plans: Sequence[Plan], stage: str, schedule: Schedule) -> list[Proposal]:
        """A proposal for each device, or fewer where there are few plans."""
        parts = max(1, min(self._capacity, len(plans) // 3))
        return [Proposal(tuple(plans[i::parts]), schedule, stage) for i in range(parts)]


def _apart(shape: ConvolutionShape, a: ConvolutionOptions, b: ConvolutionOptions) -> bool:
    """Whether the variants read different weights, so many that these take passes to settle in the caches."""
    return a.way != b.way and max(find_method(o.method).weight_bytes(shape, o) for o in (a, b)) >= BYTES_PER_PASS


def _heavy(shape: ConvolutionShape, options: Sequence[ConvolutionOptions]) -> bool:
    """Whether any two of the variants are apart."""
    return any(_apart(shape, o, options[0]) for o in options)


def _untried(found: Odds, measured: Container[ConvolutionOptions]) -> list[ConvolutionOptions]:
    """Of each method but ``simple``, parallel or not, that was not measured yet: what is expected to be the fastest."""
    kinds: dict[tuple[str, bool], list[ConvolutionOptions]] = {}
    for i in np.argsort(found.mean, kind="stable"):
        options = found.variants[i]
        if find_method(options.method).likely:
            kinds.setdefault((options.method, options.parallelize), []).append(options)
    return [members[0] for members in kinds.values() if not any(o in measured for o in members)]


def _member(members: Sequence[ConvolutionOptions], turn: int) -> ConvolutionOptions:
    """One of a way's variants: the one that leaves the depths to the generator, every other time another."""
    if len(members) > 1 and (turn % 2 or any(members[0].depths)):
        return members[(7 * turn + 3) % len(members)]
    return members[0]
