"""Softmax over all elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ellopt.model.layers.activation import FUNCTION_UNITS
from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """exp(x - max) / sum over all elements."""

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        x = self.inside(buffers)
        e: Tensor = np.exp(x - x.max())
        e /= e.sum()
        return e

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        """exp(x - max) is off by |x - max| units and the function's own; less than exp(-100) is zero."""
        values = self.compute(magnitudes)
        return np.broadcast_to(values.max(), values.shape), values.size + 100 + int(FUNCTION_UNITS)
