"""``auto``: a cost model proposes, races decide, and the search ends when there is little left to gain.

1. *Sketch*: ELL's default on every layer, and every way (method, tile, blocking, parallel) on some of them.
2. *Explore*: the cost model, fitted to all layers, names the variants with the highest expected improvement (Jones,
   Schonlau, Welch 1998). One visit measures some of each layer at once; what is clearly behind the best of its layer is
   out. It goes on until all untried variants together are expected to gain less than a quarter of the tolerance.
3. *Final*: what is left of each shape is measured against each other and against ELL's default, round by round, in
   visits of more and more rounds; the slow drop out on the way (racing: Maron, Moore 1994). It goes on until choosing
   the wrong ones is expected to cost less than a third of the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ellopt.observations import Outcome
from ellopt.options import ConvolutionOptions, Plan
from ellopt.procedure import Procedure
from ellopt.search.contest import Contest, contest
from ellopt.search.cost_model import CostModel, Observation, Posterior
from ellopt.search.knowledge import SAMPLE_DEVIATION, Knowledge, Variant
from ellopt.search.settings import SearchSettings
from ellopt.search.strategy import Explanation, Proposal, Verdict, plain_verdict
from ellopt.shapes import ConvolutionShape
from ellopt.space import ModelSpace

SKETCH, EXPLORE, FINAL = "sketch", "explore", "final"

#: New variants are timed twice: the faster pass counts unless both agree. Every pass follows an untimed one of the same
#: plan, as in use: with the caches full of another plan's weights, those with more weights would look slower.
EXPLORE_PROCEDURE = Procedure(warm_up=0, rounds=2, slow_factor=3.0)
FINAL_PROCEDURE = Procedure(warm_up=0)
#: Rounds of the visits of the final, one after the other. Six pairs are the fewest that can be significant.
FINAL_ROUNDS = (6, 8)
#: Variants of a shape that enter the final, at most.
FINALISTS = 4
#: A rival that may gain less than this part of its layer's share of the tolerance is not measured any more.
NEGLIGIBLE = 0.2
PLANS_PER_VISIT = 6
EXPLORE_VISITS = 12
#: From this share of spoiled samples on, new variants are timed more often.
MANY_SPOILED, MORE_ROUNDS = 0.12, 6
#: Of the allowed loss, what may be left untried and what may be chosen wrongly.
UNTRIED_SHARE, WRONG_SHARE = 0.25, 0.3
#: A posterior this many standard deviations above the best is out of the race.
BEHIND = 2.5
#: Simple convolutions are sketched on this many shapes, those with the least work.
SHAPES_FOR_SIMPLE = 2

Wanted = Mapping[ConvolutionShape, Sequence[ConvolutionOptions]]


@dataclass(frozen=True)
class _Survey:
    """By shape: variants worth trying, best first, and the expected gain as a share of the model's latency."""

    wanted: Wanted
    gains: Mapping[ConvolutionShape, float]

    @property
    def share(self) -> float:
        return sum(self.gains.values())


class Racing:
    """See the module. ``capacity`` devices share the plans of an exploring visit, and the rounds of a final one."""

    def __init__(self, space: ModelSpace, settings: SearchSettings, capacity: int = 1) -> None:
        self._space, self._settings, self._capacity = space, settings, max(1, capacity)
        self._groups = space.by_shape
        self._queue: list[Proposal] = []
        self._made = 0
        self._sketched = False
        self._explore_visits = 0
        self._final_visits = 0
        self.planned: int | None = settings.trials
        self.ended = ""

    def resume(self, finished: Sequence[Outcome], stages: Sequence[str], knowledge: Knowledge) -> None:
        self._made = len(finished)
        visits = {(s, o.visit.uid) for o, s in zip(finished, stages, strict=True) if o.visit is not None}
        self._sketched = SKETCH in stages
        self._explore_visits = math.ceil(sum(stage == EXPLORE for stage, _ in visits) / self._capacity)
        self._final_visits = math.ceil(sum(stage == FINAL for stage, _ in visits) / self._capacity)

    def propose(self, knowledge: Knowledge, in_flight: Sequence[Proposal]) -> Proposal | None:
        if not self._queue and not in_flight:
            self._queue = self._next_stage(knowledge)
        return self._queue.pop(0) if self._queue else None

    def judge(self, proposal: Proposal, outcomes: Sequence[Outcome], knowledge: Knowledge) -> Sequence[Verdict]:
        self._made += len(outcomes)
        verdicts = [plain_verdict(outcome, proposal.procedure) for outcome in outcomes]
        if proposal.stage == FINAL or self._unmeasured(knowledge):
            return verdicts
        behind = self.behind(knowledge)
        return [self._verdict(o, v, behind) for o, v in zip(outcomes, verdicts, strict=True)]

    def explain(self, knowledge: Knowledge) -> Explanation:
        if self._unmeasured(knowledge):
            return Explanation()
        model = fit(knowledge)
        untried: dict[Variant, str] = {}
        for shape in self._groups:
            known, best = knowledge.estimates(shape), knowledge.best(shape)
            rest = [o for o in knowledge.candidates(shape) if o not in known]
            for options, mean in zip(rest, model.predict(shape, rest).mean if rest else (), strict=True):
                if best is not None:
                    untried[shape, options] = (
                        f"expected to take {math.exp(mean) / best.ms:.2f} times the best's latency"
                    )
        behind = self.behind(knowledge)
        given_up = {(s, o): why for (s, o), why in behind.items() if knowledge.estimates(s)[o].count < FINAL_ROUNDS[0]}
        return Explanation(given_up, untried)

    # The stages

    def _next_stage(self, knowledge: Knowledge) -> list[Proposal]:
        room = 10_000 if self._settings.trials is None else self._settings.trials - self._made
        if room < 1:
            self.ended = "the limit of trials was reached"
            return []
        many = knowledge.spoiled_share > MANY_SPOILED
        procedure = replace(EXPLORE_PROCEDURE, rounds=MORE_ROUNDS) if many else EXPLORE_PROCEDURE
        if self._unmeasured(knowledge):
            if self._sketched:
                self.ended = "not every layer could be measured"
                return []
            self._sketched = True
            return self._shared_out(self._sketch()[:room], SKETCH, EXPLORE_PROCEDURE)
        if self._explore_visits < EXPLORE_VISITS:
            plans = self._explore(knowledge)
            if plans:
                self._explore_visits += 1
                return self._shared_out(plans[:room], EXPLORE, procedure)
        return self._final(knowledge, room)

    def _sketch(self) -> list[Plan]:
        """The default, then every way on every second shape that it applies to, simple ones on the smallest."""
        wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
        for i, shape in enumerate(sorted(self._groups, key=lambda shape: shape.multiply_adds)):
            default = self._groups[shape][0].default
            ways: dict[tuple[str, int, str, bool], list[ConvolutionOptions]] = {}
            for o in self._groups[shape][0].variants:
                ways.setdefault((o.method, o.winograd_tile_size, o.gemm_blocking, o.parallelize), []).append(o)
            wanted[shape] = [
                _member(members, i)
                for w, members in enumerate(ways.values())
                if members != [default]
                and (i < SHAPES_FOR_SIMPLE if members[0].method == "simple" else (i + w) % 2 == 0)
            ]
        fillers = {shape: layers[0].default for shape, layers in self._groups.items()}
        return [self._space.default_plan, *self._plans(wanted, fillers)]

    def _survey(self, knowledge: Knowledge) -> _Survey:
        """What is worth trying on each shape, and what all that was not tried may still gain."""
        model = fit(knowledge)
        generator = np.random.default_rng(self._settings.seed)
        total = knowledge.predict_ms(knowledge.best_plan()) or math.inf
        worth = UNTRIED_SHARE * self._settings.tolerance * total / len(self._space.layers)
        wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
        gains: dict[ConvolutionShape, float] = {}
        for shape, layers in self._groups.items():
            best, known = knowledge.best(shape), knowledge.estimates(shape)
            assert best is not None
            posterior = model.predict(shape, [o for o in knowledge.candidates(shape) if o not in known])
            doubts = {
                o: doubt.expected_improvement(best.ms)
                for o in knowledge.candidates(shape)
                if o != best.options and (doubt := model.doubts.get((shape, o))) is not None
            }
            gain = posterior.expected_best(best.ms, generator) + sum(doubts.values())
            gains[shape] = len(layers) * gain / total
            wanted[shape] = promising(posterior, best.ms, doubts, worth / 20, PLANS_PER_VISIT * len(layers))
        return _Survey(wanted, gains)

    def _explore(self, knowledge: Knowledge) -> list[Plan]:
        """The most promising untried variants, some of each shape; none when little is left to gain."""
        survey = self._survey(knowledge)
        allowed = UNTRIED_SHARE * self._settings.tolerance
        if survey.share <= allowed:
            return []
        # As many plans as the shapes need that have more than their share to gain; the others use the opportunity.
        needed = [
            math.ceil(len(survey.wanted[shape]) / len(self._groups[shape]))
            for shape, gain in survey.gains.items()
            if gain > allowed / len(survey.gains) / 2
        ]
        fillers = {shape: best.options for shape in self._groups if (best := knowledge.best(shape)) is not None}
        return self._plans(survey.wanted, fillers)[: max(needed, default=0)]

    def _final(self, knowledge: Knowledge, room: int) -> list[Proposal]:
        """The next visit of the final; nothing when the winners are clear enough."""
        contests = self._contests(knowledge)
        total = knowledge.predict_ms(knowledge.best_plan()) or math.inf
        wrong = sum(len(self._groups[shape]) * c.risk_ms for shape, c in contests.items()) / total
        untried = self._survey(knowledge).share
        left = f"{untried + wrong:.2%} of the model's latency"
        compared = all(self._compared(knowledge, shape, c) for shape, c in contests.items())
        over = self._final_visits >= len(FINAL_ROUNDS)
        if over or (wrong <= WRONG_SHARE * self._settings.tolerance and compared):
            limit = f"less than {self._settings.tolerance:.2%}"
            if untried + wrong > self._settings.tolerance:
                limit = f"but the last {FINALISTS} of every layer were measured as often as is allowed"
            self.ended = f"what is left to gain is expected to be {left}, {limit}"
            return []
        rounds = math.ceil(FINAL_ROUNDS[self._final_visits] / self._capacity)
        self._final_visits += 1
        fair = WRONG_SHARE * self._settings.tolerance * total / len(self._space.layers)
        wanted = {}
        for shape, c in contests.items():
            entrants = [r.options for r in c.rivals if r.expected_gain * c.best.ms > NEGLIGIBLE * fair]
            entrants.append(c.best.options)
            if not self._compared(knowledge, shape, c):
                entrants.append(self._groups[shape][0].default)
            wanted[shape] = list(dict.fromkeys(entrants))
        most = max(map(len, wanted.values()))
        plans = tuple(dict.fromkeys(self._everywhere(wanted, contests, t) for t in range(most)))
        return [Proposal(plans[:room], replace(FINAL_PROCEDURE, rounds=rounds), FINAL)] * self._capacity

    # What they are made of

    def _unmeasured(self, knowledge: Knowledge) -> bool:
        return any(knowledge.best(shape) is None for shape in self._groups)

    def _contests(self, knowledge: Knowledge) -> dict[ConvolutionShape, Contest]:
        behind = self.behind(knowledge)
        found = {}
        for shape in self._groups:
            measured = knowledge.estimates(shape)
            allowed = [o for o in knowledge.candidates(shape) if o in measured and (shape, o) not in behind]
            found[shape] = contest(knowledge, shape, allowed, FINALISTS)
        return found

    def _compared(self, knowledge: Knowledge, shape: ConvolutionShape, c: Contest) -> bool:
        """Whether the best of a shape was compared with ELL's default often enough for a verdict."""
        default = self._groups[shape][0].default
        return c.best.options == default or len(knowledge.log_ratios(shape, c.best.options, default)) >= FINAL_ROUNDS[0]

    def behind(self, knowledge: Knowledge) -> dict[Variant, str]:
        """The measured variants that are out of the race, and why."""
        model = fit(knowledge)
        out: dict[Variant, str] = {}
        for shape in self._groups:
            best = knowledge.best(shape)
            measured = knowledge.estimates(shape)
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

    def _verdict(self, outcome: Outcome, verdict: Verdict, behind: Mapping[Variant, str]) -> Verdict:
        """Pruned, if nothing new in the plan is in the race any more."""
        if outcome.samples is None or outcome.plan == self._space.default_plan:
            return verdict
        layers = self._space.by_id
        reasons = [behind.get((layers[n].shape, o), "") for n, o in outcome.plan.items() if o != layers[n].default]
        if not all(reasons) or not reasons:
            return Verdict("complete")
        passes = 2 * sum(FINAL_ROUNDS) - len(outcome.samples.total_ms)
        spared = passes * float(np.median(outcome.samples.total_ms)) / 1000
        return Verdict("pruned", f"every choice is clearly behind, e.g. {reasons[0]}", spared)

    def _plans(self, wanted: Wanted, fillers: Mapping[ConvolutionShape, ConvolutionOptions]) -> list[Plan]:
        """Plans in which every wanted variant occurs once, layers of equal shape taking turns."""
        choices: dict[str, list[ConvolutionOptions]] = {}
        for shape, options in wanted.items():
            layers = self._groups[shape]
            for j, layer in enumerate(layers):
                choices[layer.node_id] = list(options[j :: len(layers)])
        most = max(map(len, choices.values()), default=0)
        return [
            Plan(
                tuple(
                    (layer.node_id, row[t] if t < len(row := choices[layer.node_id]) else fillers[layer.shape])
                    for layer in self._space.layers
                )
            )
            for t in range(most)
        ]

    def _everywhere(self, wanted: Wanted, contests: Mapping[ConvolutionShape, Contest], t: int) -> Plan:
        """The t-th wanted variant of each shape on all of its layers; where there is none, the best."""
        return Plan(
            tuple(
                (
                    layer.node_id,
                    options[t] if t < len(options := wanted[layer.shape]) else contests[layer.shape].best.options,
                )
                for layer in self._space.layers
            )
        )

    def _shared_out(self, plans: Sequence[Plan], stage: str, procedure: Procedure) -> list[Proposal]:
        """A proposal for each device, or fewer where there are few plans."""
        parts = max(1, min(self._capacity, len(plans) // 3))
        return [Proposal(tuple(plans[i::parts]), procedure, stage) for i in range(parts)]


def fit(knowledge: Knowledge) -> CostModel:
    """The cost model that all estimates so far give."""
    spoiled, noise = knowledge.spoiled_share, knowledge.sample_deviation
    observations = {}
    for shape in knowledge.shapes:
        for options, estimate in knowledge.estimates(shape).items():
            kept = max(1, estimate.count - estimate.summary.outliers)
            observations[shape, options] = Observation(estimate.ms, noise / math.sqrt(kept), spoiled**estimate.count)
    return CostModel(observations)


def promising(
    posterior: Posterior, best_ms: float, doubts: Mapping[ConvolutionOptions, float], least_ms: float, most: int
) -> list[ConvolutionOptions]:
    """The variants of highest expected improvement in ms, each chosen as if the ones before it had been measured.

    ``doubts``: the expected improvement of variants that should be measured again.
    """
    found = {options: gain for options, gain in doubts.items() if gain >= least_ms}
    chosen: list[int] = []
    rest = posterior
    while len(chosen) < min(most, len(posterior.variants)):
        gains = rest.expected_improvement(best_ms)
        gains[chosen] = -1.0
        index = int(np.argmax(gains))
        if gains[index] < least_ms:
            break
        chosen.append(index)
        found[posterior.variants[index]] = float(gains[index])
        rest = rest.given(index, SAMPLE_DEVIATION)
    return sorted(found, key=lambda options: -found[options])[:most]


def _member(members: Sequence[ConvolutionOptions], turn: int) -> ConvolutionOptions:
    """One of a way's variants: the one that leaves the depths to the generator, every other time another."""
    if len(members) > 1 and (turn % 2 or any(members[0].depths)):
        return members[(7 * turn + 3) % len(members)]
    return members[0]
