"""Samples summed up and compared: robust estimates, confidence intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ellopt.core.ranks import rank_sum_p, signed_rank_p


@dataclass(frozen=True)
class Comparison:
    """Samples of ``a`` against those of ``b``: how much less time a takes, as a share of b's (0.2: 20 % less)."""

    gain: float
    gain_low: float  # 95 % confidence interval
    gain_high: float
    p_value: float
    significant: bool


#: What a clock reads as less, or as nothing, took less than any clock can tell, and counts as this.
LEAST_MS = 1e-5


#: A sample this far above the median of the others, in their robust standard deviations, is an outlier.
OUTLIER_DEVIATIONS = 5.0


#: ... and at least this share above it: timers and caches alone differ by less.
OUTLIER_SHARE = 0.2


#: ... and beyond this share nothing is normal: in three samples of which two are spoiled the scale is not known.
LARGEST_SPREAD = 0.5


#: A median whose 95 % confidence interval is wider than this share to either side is not trusted.
UNSTABLE_SHARE = 0.15


#: With more outliers than this share nothing says that the rest was undisturbed.
SPOILED_SHARE = 0.6


#: Two-sided level at which a difference counts.
SIGNIFICANCE = 0.05


#: The fewest pairs that can differ significantly: six signs that agree have p = 2^-5.
SIGNIFICANT_PAIRS = 6


#: The median absolute deviation of a normal distribution times this is its standard deviation.
MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True)
class Summary:
    """What a list of samples says, in milliseconds.

    The score is ``median_ms``, taken without the slow outliers; ``low_ms`` to ``high_ms`` is its 95 % confidence
    interval. ``unstable``: the samples do not pin the median down, so it must not be trusted by itself.
    """

    count: int
    median_ms: float
    deviation_ms: float
    low_ms: float
    high_ms: float
    outliers: int
    unstable: bool

    @property
    def share(self) -> float:
        """Half the width of the confidence interval as a share of the median."""
        return (self.high_ms - self.low_ms) / 2 / self.median_ms if self.median_ms > 0 else 0.0


def median(values: Sequence[float]) -> float:
    """The median of at least one number, to the last bit NumPy's: for few numbers that takes 20 times as long."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else float((ordered[middle - 1] + ordered[middle]) / 2)


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics of at least one number, as NumPy's."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    part = position - below
    return float(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))


def slow_limit(samples: Sequence[float]) -> float:
    """The latency above which samples must have been slowed by something else on the machine.

    Disturbances only ever add time, so the fast half is what tells how much samples differ by themselves: its
    spread below the median gives the scale. With up to half of the samples spoiled the limit still separates them.
    """
    ordered = sorted(map(float, samples))
    if len(ordered) < 2:
        return math.inf
    center = quantile(ordered, 0.1)
    fast = ordered[: (len(ordered) + 1) // 2]
    middle = median(fast)
    deviation = MAD_TO_DEVIATION * median([abs(value - middle) for value in fast])
    spread = min(2 * OUTLIER_DEVIATIONS * deviation, LARGEST_SPREAD * center)
    return center + max(spread, OUTLIER_SHARE * center)


def without_slow_outliers(samples: Sequence[float]) -> list[float]:
    """``samples`` up to their ``slow_limit``."""
    limit = slow_limit(samples)
    return [float(value) for value in samples if value <= limit]


def summarize(samples: Sequence[float], forgiving: bool = True) -> Summary:
    """The robust summary of at least one sample. Raises ValueError for none, or for one that is not finite.

    ``forgiving``: slow outliers are the machine's fault and left out; otherwise they count like all others.
    """
    if not samples or not all(map(math.isfinite, samples)):
        raise ValueError("a summary needs at least one sample, and finite ones")
    kept = sorted(without_slow_outliers(samples) if forgiving else map(float, samples))
    middle = median(kept)
    deviation = MAD_TO_DEVIATION * median([abs(value - middle) for value in kept])
    low, high = median_interval(kept)
    outliers = len(samples) - len(kept)
    wide = middle > 0 and (high - low) / 2 > UNSTABLE_SHARE * middle
    return Summary(
        count=len(samples),
        median_ms=middle,
        deviation_ms=deviation,
        low_ms=low,
        high_ms=high,
        outliers=outliers,
        unstable=bool(len(kept) < 2 or wide or outliers > SPOILED_SHARE * len(samples)),
    )


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median of sorted samples, from order statistics (distribution free).

    Fewer than six samples cannot carry that level: their whole range is given.
    """
    n = len(ordered)
    if n < 6:
        return float(ordered[0]), float(ordered[-1])
    rank = _lowest_rank(n)
    return float(ordered[rank - 1]), float(ordered[n - rank])


@lru_cache(maxsize=256)
def _lowest_rank(n: int) -> int:
    """The rank, from 1, of the sample that bounds the median of n from below at the 95 % level, two-sided."""
    if n > 200:
        return math.floor(n / 2 - 0.98 * math.sqrt(n))
    below, rank = 0.5**n, 0  # P(fewer than rank + 1 of n are below the median)
    while below <= SIGNIFICANCE / 2:
        rank += 1
        below += math.comb(n, rank) * 0.5**n
    return max(1, rank)


def binomial_tail(hits: int, trials: int, probability: float) -> float:
    """The probability of at least ``hits`` in ``trials`` independent trials."""
    return math.fsum(
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(hits, trials + 1)
    )


def compare(a: Sequence[float], b: Sequence[float], paired: bool) -> Comparison:
    """How much less time ``a`` takes than ``b``, with 95 % confidence interval and p-value (two-sided).

    ``paired``: element i of both was measured in the same round, so what slowed that round slowed both; then the
    Wilcoxon signed-rank test and the Hodges-Lehmann estimate over the ratios are used (Wilcoxon 1945; Hodges and
    Lehmann 1963). Otherwise the Mann-Whitney test and the same estimate over all ratios of the two lists.
    """
    if not a or not b:
        raise ValueError("a comparison needs samples on both sides")
    if paired and len(a) != len(b):
        raise ValueError(f"samples in pairs need lists of one length, not {len(a)} and {len(b)}")
    log_a, log_b = (np.log(np.maximum(np.asarray(v, dtype=np.float64), 1e-9)) for v in (a, b))
    if paired:
        differences = log_a - log_b
        n = differences.size
        i, j = np.triu_indices(n)
        estimates = np.sort((differences[i] + differences[j]) / 2)
        p_value = signed_rank_p(differences)
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    else:
        estimates = np.sort((log_a[:, None] - log_b[None, :]).ravel())
        p_value = rank_sum_p(log_a, log_b)
        spread = math.sqrt(log_a.size * log_b.size * (log_a.size + log_b.size + 1) / 12)
    rank = max(0, int(estimates.size / 2 - 1.96 * spread))
    slow, fast = float(estimates[estimates.size - 1 - rank]), float(estimates[rank])
    if estimates.size == 1:  # one sample says nothing of its own error
        fast, slow = fast - math.log(2), slow + math.log(2)
    if p_value < SIGNIFICANCE and fast <= 0 <= slow:  # ranks and approximated probabilities differ by a hair
        p_value = SIGNIFICANCE
    if p_value >= SIGNIFICANCE:
        fast, slow = min(fast, 0.0), max(slow, 0.0)
    return Comparison(
        gain=_gain(float(np.median(estimates))),
        gain_low=_gain(slow),
        gain_high=_gain(fast),
        p_value=p_value,
        significant=p_value < SIGNIFICANCE,
    )


def of_scores(comparison: Comparison, a_ms: float, b_ms: float) -> Comparison:
    """``comparison``, made of samples of ``a`` and ``b``, as one of the scores that stand for them.

    The gain is that of the scores, so that it agrees with the numbers that are shown; how sure it is, and how wide the
    interval, the samples say. Where these point the other way, nothing is significant.
    """
    score, found = math.log(max(a_ms, 1e-9) / max(b_ms, 1e-9)), _log(comparison.gain)
    slow, fast = _log(comparison.gain_low), _log(comparison.gain_high)
    if score * found > 0:
        low, high, p_value = slow * score / found, fast * score / found, comparison.p_value
    else:
        low, high, p_value = max(0.0, score + slow - found), min(0.0, score + fast - found), 1.0
    return Comparison(_gain(score), _gain(low), _gain(high), p_value, p_value < SIGNIFICANCE)


def of_estimates(a_ms: float, b_ms: float, error: float) -> Comparison:
    """How much less time ``a`` takes than ``b``, by estimates that may be off by ``error``, a share.

    No samples stand behind them, so there is no test: ``p_value`` is 1. What counts is a lead of more than the error.
    """
    gain = 1.0 - max(a_ms, 1e-9) / max(b_ms, 1e-9)
    return Comparison(gain, gain - error, gain + error, 1.0, abs(gain) > error)


def _log(gain: float) -> float:
    return math.log(max(1.0 - gain, 1e-9))


def _gain(log_ratio: float) -> float:
    return 1.0 - math.exp(min(log_ratio, 50.0))
