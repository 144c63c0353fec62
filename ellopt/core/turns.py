"""Whole models that took turns, and the one estimator of their latencies.

A turn's value is the median of its passes. A model's latency is the geometric mean of its turns' values, all visits
counting alike: what is expected over the states that the machine was seen in. Turns of one round are pairs, so a gain
is the same geometric mean of their ratios: it is exactly 1 - (latency of the one) / (latency of the other). Its
confidence interval and its p-value are those of the t-test on the logarithms of the ratios (Student 1908), so the
interval holds 0 if, and only if, the difference is not significant.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ellopt.core.statistics import SIGNIFICANCE, Comparison, slow_limit

Key = TypeVar("Key", bound=Hashable)
#: visit, round
Round = tuple[int, int]
FloatArray = npt.NDArray[np.float64]

#: Rounds in which something slowed a model are left out, for all models alike, up to this share of them. What is slow
#: more often is not slowed by chance: that is how the model runs on this machine.
LEFT_OUT = 0.25
#: Passes have two modes if splitting them in two leaves groups with at least this share of all ...
MODE_SHARE = 0.2
#: ... that are so many of their own standard deviations apart (halves of a normal distribution: 2.7, a uniform: 3.5)
MODE_DEVIATIONS = 6.0
#: ... and differ by this share.
MODE_GAP = 0.06


def turn_values(samples: Sequence[float], rounds: Sequence[int], visit: int) -> dict[Round, float]:
    """Visit and round -> the median of the passes of that turn, in milliseconds. ``rounds``: of each sample its round;
    each is a round of its own if that is empty."""
    turns: dict[Round, list[float]] = {}
    for number, ms in zip(rounds or range(len(samples)), samples, strict=True):
        turns.setdefault((visit, number), []).append(ms)
    return {key: float(np.median(values)) for key, values in turns.items()}


@dataclass(frozen=True)
class Turns(Generic[Key]):
    """Of each model, the value of each of its turns in milliseconds: visit and round -> value."""

    values: Mapping[Key, Mapping[Round, float]]

    @cached_property
    def kept(self) -> tuple[Round, ...]:
        """The rounds that count: those in which every model had its turn and none was slowed."""
        common = set.intersection(*(set(turns) for turns in self.values.values())) if self.values else set()
        slowed: set[Round] = set()
        for turns in self.values.values():
            slow = _slow({key: turns[key] for key in common})
            if len(slow) <= LEFT_OUT * len(common):
                slowed |= slow
        kept = common - slowed if len(slowed) <= 2 * LEFT_OUT * len(common) else common
        return tuple(sorted(kept))

    def turns_ms(self, model: Key) -> tuple[float, ...]:
        """The values of a model's turns in the rounds that count, in order."""
        return tuple(self.values[model][key] for key in self.kept)

    def latency_ms(self, model: Key) -> float:
        """See the module. Raises ValueError without a round in which every model had its turn."""
        return math.exp(float(self._weights @ self._logs(model)))

    @property
    def visits(self) -> tuple[Turns[Key], ...]:
        """Each visit by itself."""
        numbers = dict.fromkeys(visit for visit, _ in self.kept)
        return tuple(
            Turns({model: {k: ms for k, ms in turns.items() if k[0] == number} for model, turns in self.values.items()})
            for number in numbers
        )

    def compare(self, a: Key, b: Key) -> Comparison:
        """How much less time ``a`` takes than ``b``."""
        ratios, weights = self._logs(a) - self._logs(b), self._weights
        mean = float(weights @ ratios)
        n = ratios.size
        if n < 2:  # one round says nothing of its own error
            return Comparison(_gain(mean), _gain(mean + math.log(2)), _gain(mean - math.log(2)), 1.0, False)
        error = math.sqrt(float(np.square(weights) @ np.square(ratios - mean)) * n / (n - 1))
        if error < 1e-12:
            same = abs(mean) < 1e-12
            return Comparison(_gain(mean), _gain(mean), _gain(mean), 1.0 if same else 0.0, not same)
        from scipy import special  # takes a while to import; most commands never need it

        p_value = float(2 * special.stdtr(n - 1, -abs(mean) / error))
        width = float(special.stdtrit(n - 1, 1 - SIGNIFICANCE / 2)) * error
        return Comparison(_gain(mean), _gain(mean + width), _gain(mean - width), p_value, p_value < SIGNIFICANCE)

    @property
    def _weights(self) -> FloatArray:
        kept = self.kept
        if not kept:
            raise ValueError("the models never took turns in one round")
        visits = [visit for visit, _ in kept]
        return np.array([1 / (len(set(visits)) * visits.count(visit)) for visit in visits])

    def _logs(self, model: Key) -> FloatArray:
        return np.asarray(np.log(np.maximum(np.array(self.turns_ms(model)), 1e-9)))


def compare_runs(a_ms: float, a_turns: Sequence[float], b_ms: float, b_turns: Sequence[float]) -> Comparison:
    """How much less time ``a`` takes than ``b``, models of two runs: by their latencies and, as there are no pairs, the
    test for means of unequal variance on the logarithms of their turns (Welch 1947)."""
    from scipy import special

    mean = math.log(max(a_ms, 1e-9) / max(b_ms, 1e-9))
    parts = []
    for turns in (a_turns, b_turns):
        logs = np.log(np.maximum(np.asarray(turns, dtype=np.float64), 1e-9))
        if logs.size < 2:
            return Comparison(_gain(mean), _gain(mean + math.log(2)), _gain(mean - math.log(2)), 1.0, False)
        parts.append((float(np.var(logs, ddof=1)) / logs.size, logs.size - 1))
    error = math.sqrt(sum(part for part, _ in parts))
    if error < 1e-12:
        same = abs(mean) < 1e-12
        return Comparison(_gain(mean), _gain(mean), _gain(mean), 1.0 if same else 0.0, not same)
    freedom = error**4 / sum(part**2 / degrees for part, degrees in parts)
    p_value = float(2 * special.stdtr(freedom, -abs(mean) / error))
    width = float(special.stdtrit(freedom, 1 - SIGNIFICANCE / 2)) * error
    return Comparison(_gain(mean), _gain(mean + width), _gain(mean - width), p_value, p_value < SIGNIFICANCE)


def modes(samples: Sequence[float]) -> tuple[float, ...]:
    """The medians of the one or two groups, in milliseconds, that samples fall into; fastest first."""
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    n = ordered.size
    least = max(2, math.ceil(MODE_SHARE * n))
    if n < 2 * least:
        return (float(np.median(ordered)),) if n else ()
    logs = np.log(np.maximum(ordered, 1e-9))
    logs -= np.mean(logs)
    # the best of all splits in two (Fisher 1958): that which leaves the largest sum of squares between the groups
    sizes = np.arange(least, n - least + 1)
    sums = np.cumsum(logs)
    between = sums[sizes - 1] ** 2 / sizes + (sums[-1] - sums[sizes - 1]) ** 2 / (n - sizes)
    split = int(sizes[int(np.argmax(between))])
    fast, slow = logs[:split], logs[split:]
    within = math.sqrt((float(np.var(fast)) + float(np.var(slow))) / 2)
    apart = float(np.mean(slow) - np.mean(fast))
    if apart < math.log1p(MODE_GAP) or apart < MODE_DEVIATIONS * within:
        return (float(np.median(ordered)),)
    return float(np.median(ordered[:split])), float(np.median(ordered[split:]))


def _slow(turns: Mapping[Round, float]) -> set[Round]:
    """The rounds that were slow beside the others of the same visit."""
    by_visit: dict[int, list[float]] = {}
    for (visit, _), ms in turns.items():
        by_visit.setdefault(visit, []).append(ms)
    limits = {visit: slow_limit(values) for visit, values in by_visit.items()}
    return {key for key, ms in turns.items() if ms > limits[key[0]]}


def _gain(log_ratio: float) -> float:
    return 1.0 - math.exp(min(log_ratio, 50.0))
