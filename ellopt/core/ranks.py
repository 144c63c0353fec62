"""Two-sided tests of ranks: Wilcoxon's for pairs and Mann and Whitney's for two samples.

By the exact distribution for few samples without ties, else by the normal one with the variance that ties leave
(Lehmann, Nonparametrics, 1975). They are written out here because importing ``scipy.stats`` takes a tenth of a tuning.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Up to so many pairs, and with so few samples on one side, the distribution is counted out.
EXACT_PAIRS, EXACT_SAMPLES = 25, 8


def signed_rank_p(differences: FloatArray) -> float:
    """How probable it is that pairs differ as much by chance. Pairs without difference do not count."""
    nonzero = differences[differences != 0]
    n = nonzero.size
    if n == 0:
        return 1.0
    ranks, ties = _ranks(np.abs(nonzero))
    positive = float(ranks[nonzero > 0].sum())
    if n <= EXACT_PAIRS and not ties:
        counts = np.ones(1)
        for rank in range(1, n + 1):  # with each rank among the positive ones, or not
            counts = np.concatenate([counts, np.zeros(rank)]) + np.concatenate([np.zeros(rank), counts])
        return _tails(counts, round(positive))
    variance = (n * (n + 1) * (2 * n + 1) - ties / 2) / 24
    return _normal(positive - n * (n + 1) / 4, variance)


def rank_sum_p(a: FloatArray, b: FloatArray) -> float:
    """How probable it is that two samples differ as much by chance."""
    n, m = a.size, b.size
    ranks, ties = _ranks(np.concatenate([a, b]))
    above = float(ranks[:n].sum()) - n * (n + 1) / 2  # pairs in which a's is the larger one
    if min(n, m) <= EXACT_SAMPLES and not ties:
        return _tails(_pairs_above(n, m), round(above))
    both = n + m
    variance = n * m / 12 * (both + 1 - ties / (both * (both - 1)))
    return _normal(max(abs(above - n * m / 2) - 0.5, 0.0), variance)


def _ranks(values: FloatArray) -> tuple[FloatArray, float]:
    """Ranks from 1 on, equal values sharing their mean, and the sum of t^3 - t over groups of t equal ones."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place], float((counts.astype(np.float64) ** 3 - counts).sum())


def _pairs_above(n: int, m: int) -> FloatArray:
    """In how many orders of n and m samples the larger one is of the first kind in so many pairs."""
    few, many = min(n, m), max(n, m)
    rows = [np.ones(1) if i == 0 else np.zeros(1) for i in range(few + 1)]
    for rank in range(few + many):  # of i samples of the first kind, one at this rank is above rank - (i - 1) others
        for i in range(min(few, rank + 1), 0, -1):
            rows[i] = _sum(rows[i], np.concatenate([np.zeros(rank - i + 1), rows[i - 1]]))
    return rows[few]


def _sum(a: FloatArray, b: FloatArray) -> FloatArray:
    found = np.zeros(max(a.size, b.size))
    found[: a.size] += a
    found[: b.size] += b
    return found


def _tails(counts: FloatArray, at: int) -> float:
    """Twice the smaller tail, ``at`` included, of a distribution given by counts of 0, 1, 2, ..."""
    return min(1.0, 2 * float(min(counts[: at + 1].sum(), counts[at:].sum()) / counts.sum()))


def _normal(deviation: float, variance: float) -> float:
    if variance <= 0:
        return 1.0
    return min(1.0, math.erfc(abs(deviation) / math.sqrt(2 * variance)))
