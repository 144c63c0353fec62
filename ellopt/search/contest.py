"""Who may still win a shape, and what choosing wrongly would cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ellopt.measurement import MAD_TO_DEVIATION, SIGNIFICANCE
from ellopt.options import ConvolutionOptions
from ellopt.search.knowledge import Estimate, Knowledge
from ellopt.shapes import ConvolutionShape

#: From this many common rounds on two variants are compared in pairs.
MINIMUM_PAIRS = 4
#: The fewest pairs that can be significant.
SIGNIFICANT_PAIRS = 6
#: Only so many variants, of up to so many times the lowest estimate, can lead instead.
CHALLENGERS, NEAR = 4, 3.0
#: Timers and caches alone make the ratio of two passes differ by this much.
LEAST_DEVIATION = 0.01
#: A variant this many standard deviations behind the best is out.
BEHIND = 2.5


@dataclass(frozen=True)
class Rival:
    """A variant against the best of its shape: log latency ratio (0.1: about 10 % slower) and its standard error."""

    options: ConvolutionOptions
    log_ratio: float
    error: float

    @property
    def behind(self) -> bool:
        return self.log_ratio > BEHIND * self.error

    @property
    def expected_gain(self) -> float:
        """How much less time it is expected to take than the best, as a share of the best's; slower counts as 0."""
        if self.error <= 0:
            return 0.0
        z = self.log_ratio / self.error
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return self.error * density - self.log_ratio * 0.5 * math.erfc(z / math.sqrt(2))


@dataclass(frozen=True)
class Contest:
    """The best variant of a shape and those that may be faster, nearest first."""

    best: Estimate
    rivals: tuple[Rival, ...]

    @property
    def risk_ms(self) -> float:
        """What is expected to be lost on one layer if the best is chosen and the likeliest rival is faster."""
        return self.best.ms * max((rival.expected_gain for rival in self.rivals), default=0.0)


def leader(knowledge: Knowledge, shape: ConvolutionShape, ranked: Sequence[Estimate]) -> Estimate:
    """The best of ``ranked``, fastest first: the first, unless another was significantly faster in common rounds.

    An estimate looks past slow outliers; where a variant is slow in most rounds, as parallel ones are on a busy
    machine, pairs of rounds show it.
    """
    best = ranked[0]
    near = [other for other in ranked[1:] if other.ms <= NEAR * best.ms][:CHALLENGERS]
    for other in near:
        if len(knowledge.log_ratios(shape, other.options, best.options)) >= SIGNIFICANT_PAIRS:
            comparison = knowledge.compare(shape, other.options, best.options)
            # Several are asked, so each answer must be the surer (Bonferroni).
            if comparison is not None and comparison.gain > 0 and comparison.p_value < SIGNIFICANCE / CHALLENGERS:
                best = other
    return best


def contest(
    knowledge: Knowledge, shape: ConvolutionShape, variants: Sequence[ConvolutionOptions], most: int
) -> Contest:
    """Who of the measured ``variants`` is best and who is not behind, at most ``most`` in all."""
    estimates = sorted((knowledge.estimates(shape)[o] for o in variants), key=lambda e: e.cautious_ms)
    best = leader(knowledge, shape, estimates)
    rivals = (rival(knowledge, shape, best, other) for other in estimates if other is not best)
    near = sorted((r for r in rivals if not r.behind), key=lambda r: r.log_ratio)
    return Contest(best, tuple(near[: most - 1]))


def rival(knowledge: Knowledge, shape: ConvolutionShape, best: Estimate, other: Estimate) -> Rival:
    """``other`` against ``best``, from the rounds that they have in common where these are enough."""
    pairs = knowledge.log_ratios(shape, other.options, best.options)
    if len(pairs) >= MINIMUM_PAIRS:
        middle = float(np.median(pairs))
        spread = MAD_TO_DEVIATION * float(np.median(np.abs(np.asarray(pairs) - middle)))
        # The median's standard error is a quarter larger than the mean's.
        return Rival(other.options, middle, 1.25 * max(spread, LEAST_DEVIATION) / math.sqrt(len(pairs)))
    noise = knowledge.sample_deviation
    error = math.hypot(*(noise / math.sqrt(max(1, e.count - e.summary.outliers)) for e in (best, other)))
    return Rival(other.options, math.log(other.ms / best.ms), error)
