"""Student's t distribution (1908): for two tests this is all that SciPy would be imported for, which takes longer than
they do."""

from __future__ import annotations

import math

_MOST_STEPS = 500
_TINY = 1e-300


def two_sided_p(t: float, freedom: float) -> float:
    """How probable it is that the mean of chance deviates by ``t`` standard errors or more, to either side.

    By the continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), after Lentz (1976).
    """
    if math.isnan(t) or math.isinf(t):
        return 0.0 if math.isinf(t) else math.nan
    return _beta(freedom / (freedom + t * t), t * t / (freedom + t * t), freedom / 2, 0.5)


def quantile(probability: float, freedom: float) -> float:
    """What a t-distributed number exceeds with 1 - ``probability``, which is at least 0.5."""
    tail = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > tail:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided_p(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularized incomplete beta function of ``x``; ``rest`` is 1 - x, which x may be too near to 1 to say."""
    if x <= 0:
        return 0.0
    if rest <= 0:
        return 1.0
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    if x < (a + 1) / (a + b + 2):
        return math.exp(scale) * _fraction(x, a, b) / a
    return 1 - math.exp(scale) * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away(value: float) -> float:
    """``value``, not zero."""
    return value if abs(value) > _TINY else _TINY
