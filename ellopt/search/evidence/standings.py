"""How the race of each shape's variants stands: who leads, who may still win, who is out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.statistics import SIGNIFICANT_PAIRS
from ellopt.search.evidence.effects import Variant
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.evidence.odds import Odds, odds


@dataclass(frozen=True)
class Standings:
    """The odds of every shape, and what choosing the leaders is expected to cost as a share of the model's latency."""

    odds: Mapping[ConvolutionShape, Odds]
    total_ms: float
    loss: float

    @property
    def leaders(self) -> Mapping[ConvolutionShape, ConvolutionOptions]:
        return {shape: found.leader for shape, found in self.odds.items()}


def standings(evidence: Evidence, generator: np.random.Generator) -> Standings:
    """The odds of all candidates, of which every shape has a measured one."""
    model = evidence.cost_model
    found: dict[ConvolutionShape, Odds] = {}
    for shape in evidence.shapes:
        posterior = model.predict(shape, evidence.candidates(shape))
        known = evidence.estimates(shape)
        measured = [i for i, options in enumerate(posterior.variants) if options in known]
        leader = posterior.variants[min(measured, key=lambda i: float(posterior.mean[i]))]
        found[shape] = odds(posterior, leader, generator, evidence.constants.draws)
    plan = evidence.space.plan_of_shapes({shape: o.leader for shape, o in found.items()})
    total = evidence.predict_ms(plan) or math.inf
    loss = sum(len(evidence.shapes[shape]) * o.regret_ms for shape, o in found.items()) / total
    return Standings(found, total, loss)


def behind(evidence: Evidence) -> dict[Variant, str]:
    """The measured variants that are out of the race, and why."""
    model = evidence.cost_model
    out: dict[Variant, str] = {}
    for shape in evidence.shapes:
        best = evidence.best(shape)
        measured = evidence.estimates(shape)
        if best is None:
            continue
        posterior = model.predict(shape, tuple(measured))
        low = posterior.mean - evidence.constants.behind * posterior.deviation
        for options, bound in zip(measured, low, strict=True):
            if bound > math.log(best.ms) and options != best.options:
                slower = measured[options].ms / best.ms
                passes = measured[options].count
                out[shape, options] = f"{slower:.2f} times the latency of {best.options} after {passes} passes"
    return out


def given_up(evidence: Evidence) -> dict[Variant, str]:
    """Variants that are out of the race after too few passes for a verdict, and why."""
    return {
        (shape, options): why
        for (shape, options), why in behind(evidence).items()
        if evidence.estimates(shape)[options].count < SIGNIFICANT_PAIRS
    }


def not_tried(evidence: Evidence) -> dict[Variant, str]:
    """Variants without a measurement, and what is expected of them."""
    untried: dict[Variant, str] = {}
    for shape in evidence.shapes:
        known, best = evidence.estimates(shape), evidence.best(shape)
        rest = [o for o in evidence.candidates(shape) if o not in known]
        if rest and best is not None:
            for options, mean in zip(rest, evidence.cost_model.predict(shape, rest).mean, strict=True):
                times = math.exp(mean) / best.ms
                untried[shape, options] = f"expected to take {times:.2f} times the best's latency"
    return untried
