"""All that was measured of a model's layers, and what it says of each variant.

Layers of equal shape share observations, and what the visit, the turn and the place in the model did to a sample is
accounted for (see ``effects``): variants measured in different visits, or on different layers of one shape, can be
compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.statistics import (
    LEAST_MS,
    SIGNIFICANT_PAIRS,
    Comparison,
    Summary,
    binomial_tail,
    compare,
    median,
    slow_limit,
    summarize,
)
from ellopt.core.trial import Failure, Trial
from ellopt.search.evidence.constants import DEFAULTS, Constants
from ellopt.search.evidence.cost_model import CostModel, Observation
from ellopt.search.evidence.effects import Cell, Variant, fit_effects
from ellopt.space.space import ModelSpace


@dataclass(frozen=True)
class Sample:
    """One timed pass of one layer. ``turn``: the number of what was timed with it; None if that is not known."""

    visit: str
    round: int
    node_id: str
    ms: float
    turn: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What a variant takes on a layer of its shape, visits and places accounted for.

    ``expected_ms`` is what the cost model makes of it, which knows what few samples are worth and what like variants
    take: variants are ranked by it.
    """

    options: ConvolutionOptions
    ms: float
    summary: Summary
    expected_ms: float

    @property
    def count(self) -> int:
        return self.summary.count


class Evidence:
    """Samples by layer and options; estimates by shape and options."""

    def __init__(self, space: ModelSpace, constants: Constants = DEFAULTS, exact: bool = False) -> None:
        """``exact``: samples repeat exactly, so that neither visits, turns nor places did anything to them."""
        self.space, self.constants, self._exact = space, constants, exact
        self.shapes = space.by_shape
        self._shape_of = {layer.node_id: layer.shape for layer in space.layers}
        self._samples: dict[Variant, list[Sample]] = {}
        self._others: dict[tuple[str, int], list[float]] = {}  # visit, turn -> what is not convolution, ms
        self._turns: dict[tuple[str, Plan, int], int] = {}
        self._disturbed: set[str] = set()
        self._failed: dict[Variant, str] = {}
        self._stored: set[str] = set()
        self._estimates: dict[ConvolutionShape, dict[ConvolutionOptions, Estimate]] | None = None
        self._best: dict[ConvolutionShape, Estimate | None] = {}  # of what _estimates has
        self._effects = fit_effects({}, constants)
        self._cost_model = CostModel({}, None, constants)
        self._limits: dict[Variant, float] = {}  # what is slower was slowed by something else
        self._spoiled_share = constants.assumed_slow / constants.assumed_rounds

    def add(self, trial: Trial, once: bool = False) -> None:
        """Learn from a trial. ``once``: a variant that a layer was measured with before learns nothing more."""
        samples, visit = trial.samples, trial.visit
        if samples is None or visit is None or not samples.layers_ms:
            return
        rounds = samples.rounds or tuple(range(len(samples.total_ms)))
        turns = [self._turns.setdefault((visit.uid, trial.plan, r), len(self._turns)) for r in rounds]
        for node_id, values in samples.layers_ms.items():
            known = self._samples.setdefault((self._shape_of[node_id], trial.plan[node_id]), [])
            if once and any(sample.node_id == node_id for sample in known):
                continue
            known += [
                Sample(visit.uid, r, node_id, max(ms, LEAST_MS), t)
                for r, ms, t in zip(rounds, values, turns, strict=True)
            ]
        layers = np.sum([np.asarray(values) for values in samples.layers_ms.values()], axis=0)
        for turn, ms in zip(turns, (np.asarray(samples.total_ms) - layers).tolist(), strict=True):
            self._others.setdefault((visit.uid, turn), []).append(ms)
        if visit.disturbed:
            self._disturbed.add(visit.uid)
        self._estimates = None

    def add_stored(self, shape: ConvolutionShape, options: ConvolutionOptions, samples: Iterable[Sample]) -> None:
        """Learn from an earlier run's samples of the same shape and options on the same kind of device."""
        if shape not in self.shapes:
            return
        new = [replace(sample, ms=max(sample.ms, LEAST_MS)) for sample in samples]
        self._stored.update(sample.visit for sample in new)
        self._samples.setdefault((shape, options), []).extend(new)
        self._estimates = None

    def fail(self, failures: Iterable[Failure]) -> None:
        """Options that do not work are no candidates any more."""
        for failure in failures:
            self._failed.setdefault((failure.shape, failure.options), failure.reason)
            self._estimates = None

    def failed(self, shape: ConvolutionShape) -> Mapping[ConvolutionOptions, str]:
        return {options: reason for (s, options), reason in self._failed.items() if s == shape}

    def shape_of(self, node_id: str) -> ConvolutionShape:
        return self._shape_of[node_id]

    def variants(self, shape: ConvolutionShape) -> frozenset[ConvolutionOptions]:
        """All that may be measured of a shape: its variants, and ELL's default."""
        layer = self.shapes[shape][0]
        return frozenset((*layer.variants, layer.default))

    def candidates(self, shape: ConvolutionShape) -> tuple[ConvolutionOptions, ...]:
        """The variants of a shape that are not known to fail, simplest first."""
        return tuple(o for o in self.shapes[shape][0].variants if (shape, o) not in self._failed)

    def samples(self, shape: ConvolutionShape, options: ConvolutionOptions) -> tuple[Sample, ...]:
        return tuple(self._samples.get((shape, options), ()))

    def visits(self, shape: ConvolutionShape) -> int:
        """In how many visits any variant of a shape was measured."""
        return len({sample.visit for options in self.variants(shape) for sample in self.samples(shape, options)})

    def only_stored(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        """Whether all samples come from an earlier run."""
        samples = self.samples(shape, options)
        return bool(samples) and all(sample.visit in self._stored for sample in samples)

    @property
    def variants_measured(self) -> int:
        """Distinct (layer, options) of the space with samples, shared ones counted for each layer."""
        return sum(
            len(layers) * sum(bool(self._samples.get((shape, o))) for o in layers[0].variants)
            for shape, layers in self.shapes.items()
        )

    def estimates(self, shape: ConvolutionShape) -> Mapping[ConvolutionOptions, Estimate]:
        """The estimate of each measured option of a shape that is not known to fail."""
        if self._estimates is None:
            self._estimates = self._fit()
        return self._estimates[shape]

    @property
    def spoiled_share(self) -> float:
        """The share of samples that something else made slow, whatever was measured."""
        if self._estimates is None:
            self._estimates = self._fit()
        return self._spoiled_share

    @property
    def cost_model(self) -> CostModel:
        """What all samples let one expect of any variant, measured or not."""
        if self._estimates is None:
            self._estimates = self._fit()
        return self._cost_model

    def best(self, shape: ConvolutionShape) -> Estimate | None:
        """The lowest estimate among the candidates of a shape."""
        if self._estimates is None or shape not in self._best:
            allowed = set(self.candidates(shape))
            found = [e for o, e in self.estimates(shape).items() if o in allowed]
            self._best[shape] = min(found, key=lambda e: e.expected_ms, default=None)
        return self._best[shape]

    def best_plan(self) -> Plan | None:
        """The best option of every layer; None while a layer has no measurement."""
        best = {shape: estimate.options for shape in self.shapes if (estimate := self.best(shape)) is not None}
        return self.space.plan_of_shapes(best) if len(best) == len(self.shapes) else None

    @property
    def others_ms(self) -> float:
        """Milliseconds that the nodes other than convolutions take."""
        values = [ms for visit in self._others.values() for ms in visit]
        return max(0.0, float(np.median(values))) if values else 0.0

    def layer_ms(self, node_id: str, options: ConvolutionOptions) -> float | None:
        """What ``options`` take on one layer, its place in the model accounted for; None if not measured."""
        estimate = self.estimates(self._shape_of[node_id]).get(options)
        return None if estimate is None else estimate.ms * math.exp(self._effects.layers.get(node_id, 0.0))

    def adjusted(self, node_id: str, options: ConvolutionOptions) -> tuple[float, ...]:
        """What ``layer_ms`` is the median of: samples of the layer's shape, less what visits and turns did to them and
        as in this layer's place; slow outliers are left out."""
        shape = self._shape_of[node_id]
        self.estimates(shape)
        limit = self._limits.get((shape, options), math.inf)
        place = math.exp(self._effects.layers.get(node_id, 0.0))
        samples = self._trusted(self._samples.get((shape, options), []))
        found = [self._adjusted(sample, (shape, options)) for sample in samples]
        return tuple(ms * place for ms in found if ms <= limit)

    def predict_ms(self, plan: Plan | None) -> float | None:
        """The latency of ``plan`` as the sum of its layers; None while a part of it has not been measured."""
        if plan is None:
            return None
        total = self.others_ms
        for node_id, options in plan.items():
            layer_ms = self.layer_ms(node_id, options)
            if layer_ms is None:
                return None
            total += layer_ms
        return total

    def compare(
        self, shape: ConvolutionShape, a: ConvolutionOptions, b: ConvolutionOptions, node_id: str | None = None
    ) -> Comparison | None:
        """``a`` against ``b``, in pairs of one round of one visit where there are enough of them; None if one has no
        samples. ``node_id``: look at the samples of that layer alone."""
        rounds_a, rounds_b = self._by_round(shape, a, node_id), self._by_round(shape, b, node_id)
        if not rounds_a or not rounds_b:
            return None
        common = sorted(rounds_a.keys() & rounds_b.keys())
        if len(common) >= SIGNIFICANT_PAIRS:
            return compare([rounds_a[key] for key in common], [rounds_b[key] for key in common], paired=True)
        return compare(list(rounds_a.values()), list(rounds_b.values()), paired=False)

    def log_ratios(self, shape: ConvolutionShape, a: ConvolutionOptions, b: ConvolutionOptions) -> list[float]:
        """log(a / b) for every round of a visit in which both were measured."""
        rounds_a, rounds_b = self._by_round(shape, a, None), self._by_round(shape, b, None)
        return [math.log(rounds_a[key] / rounds_b[key]) for key in sorted(rounds_a.keys() & rounds_b.keys())]

    def _by_round(
        self, shape: ConvolutionShape, options: ConvolutionOptions, node_id: str | None
    ) -> dict[tuple[str, int], float]:
        """Adjusted milliseconds of each round, but for slow outliers: the median of what was measured in it."""
        self.estimates(shape)
        rounds: dict[tuple[str, int], list[float]] = {}
        for sample in self._samples.get((shape, options), ()):
            ms = self._adjusted(sample, (shape, options))
            if (node_id is None or sample.node_id == node_id) and ms <= self._limits.get((shape, options), math.inf):
                rounds.setdefault((sample.visit, sample.round), []).append(ms)
        return {key: median(values) for key, values in rounds.items()}

    def _adjusted(self, sample: Sample, variant: Variant) -> float:
        cell = (variant, sample.visit, sample.turn, sample.node_id)
        return sample.ms * math.exp(-self._effects.disturbance(cell))

    def _as_they_are(self) -> dict[ConvolutionShape, dict[ConvolutionOptions, Estimate]]:
        """Estimates by samples that repeat exactly: nothing is to be taken off them, nothing expected besides."""
        found: dict[ConvolutionShape, dict[ConvolutionOptions, Estimate]] = {shape: {} for shape in self.shapes}
        for (shape, options), samples in self._samples.items():
            if samples and (shape, options) not in self._failed:
                summary = summarize([sample.ms for sample in samples], forgiving=False)
                found[shape][options] = Estimate(options, summary.median_ms, summary, summary.median_ms)
        return found

    def _fit(self) -> dict[ConvolutionShape, dict[ConvolutionOptions, Estimate]]:
        self._best.clear()
        if self._exact:
            return self._as_they_are()
        cells: dict[Cell, list[float]] = {}
        for variant, samples in self._samples.items():
            for sample in self._trusted(samples):
                cells.setdefault((variant, sample.visit, sample.turn, sample.node_id), []).append(sample.ms)
        for (visit, turn), values in self._others.items():
            if median(values) > 0:
                cells[None, visit, turn, ""] = [value for value in values if value > 0]
        self._effects = fit_effects(cells, self.constants)
        adjusted = {
            variant: [self._adjusted(sample, variant) for sample in self._trusted(samples)]
            for variant, samples in self._samples.items()
            if samples and variant not in self._failed
        }
        self._limits = self._fair_limits(adjusted)
        summaries = {
            variant: summarize(values, forgiving=math.isfinite(self._limits[variant]))
            for variant, values in adjusted.items()
        }
        self._cost_model = self._fit_cost_model()
        estimates: dict[ConvolutionShape, dict[ConvolutionOptions, Estimate]] = {shape: {} for shape in self.shapes}
        for shape, found in estimates.items():
            measured = [options for s, options in summaries if s == shape]
            if measured:
                expected = np.exp(self._cost_model.predict(shape, measured).mean).tolist()
                for options, expected_ms in zip(measured, expected, strict=True):
                    summary = summaries[shape, options]
                    found[options] = Estimate(options, summary.median_ms, summary, expected_ms)
        return estimates

    def _fit_cost_model(self) -> CostModel:
        observations: dict[Variant, Observation] = {}
        places = []
        for place, (variant, log_ms) in enumerate(self._effects.variants.items()):
            if variant is not None and variant not in self._failed:
                samples = self._samples[variant]
                visits = len({sample.visit for sample in samples})
                deviation = self.constants.variant_visit_deviation / math.sqrt(visits)
                spoiled = self._spoiled_share ** len(samples)
                observations[variant] = Observation(math.exp(log_ms), deviation, spoiled)
                places.append(place)
        return CostModel(observations, self._effects.covariance[np.ix_(places, places)], self.constants)

    def _fair_limits(self, adjusted: Mapping[Variant, list[float]]) -> dict[Variant, float]:
        """Above what a sample is an outlier; infinite for a variant that is slow too often to blame the machine.

        What the machine does to all, it does to variants on one thread too: how often it slows them is what is forgiven
        to every variant. One that is slow significantly more often (parallel on busy cores) answers for it itself.
        """
        limits = {variant: slow_limit(values) for variant, values in adjusted.items()}
        rounds: dict[Variant, dict[tuple[str, int], list[bool]]] = {}
        for variant, values in adjusted.items():
            for sample, ms in zip(self._trusted(self._samples[variant]), values, strict=True):
                rounds.setdefault(variant, {}).setdefault((sample.visit, sample.round), []).append(ms > limits[variant])
        # Layers of one shape are slow together, so rounds are counted, not samples.
        slow = {variant: sum(2 * sum(odd) > len(odd) for odd in found.values()) for variant, found in rounds.items()}
        count = {variant: len(found) for variant, found in rounds.items()}
        plain = [variant for variant in adjusted if not variant[1].parallelize and count[variant] >= 2]
        c = self.constants
        self._spoiled_share = (c.assumed_slow + sum(slow[v] for v in plain)) / (
            c.assumed_rounds + sum(count[v] for v in plain)
        )
        return {
            variant: math.inf
            if binomial_tail(slow[variant], count[variant], self._spoiled_share) < c.too_often
            else limit
            for variant, limit in limits.items()
        }

    def _trusted(self, samples: list[Sample]) -> list[Sample]:
        """Samples of undisturbed visits, where there are any."""
        return [s for s in samples if s.visit not in self._disturbed] or samples
