"""Means, sums and extremes along axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ellopt.model.layers.base import Tensor
from ellopt.model.layers.general import General, strided

REDUCTIONS: Mapping[str, Callable[..., Tensor]] = {"mean": np.mean, "sum": np.sum, "maximum": np.max, "minimum": np.min}


@dataclass(frozen=True, eq=False)
class Reduction(General):
    """One of REDUCTIONS over all but the first ``kept`` of the axes."""

    operation: str = field(kw_only=True)
    counts: tuple[int, ...] = field(kw_only=True)
    strides: tuple[int, ...] = field(kw_only=True)
    kept: int = field(kw_only=True)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        values = strided(inputs[0], self.counts, self.strides)
        found = REDUCTIONS[self.operation](values, axis=tuple(range(self.kept, len(self.counts))))
        return np.asarray(found).reshape(-1)

    def terms(self, magnitudes: Sequence[Tensor]) -> tuple[Tensor, int]:
        if self.operation in ("maximum", "minimum"):
            return np.zeros(1), 0
        return self.combine(magnitudes), prod(self.counts[self.kept :]) + 2
