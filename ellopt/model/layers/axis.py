"""Kinds that work along one axis of a tensor, which is seen as ``outer`` x ``length`` x ``inner``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ellopt.model.layers.activation import FUNCTION_UNITS
from ellopt.model.layers.base import FloatArray, Tensor
from ellopt.model.layers.general import General, IntArray


@dataclass(frozen=True, eq=False)
class AxisWeights(General):
    """Element i of the result is the sum over t of ``weights[i, t]`` times element ``indices[i, t]``: linear and cubic
    interpolation, sums over neighbours."""

    outer: int = field(kw_only=True)
    length: int = field(kw_only=True)
    inner: int = field(kw_only=True)
    indices: IntArray = field(kw_only=True)
    weights: FloatArray = field(kw_only=True)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        source = inputs[0].reshape(self.outer, self.length, self.inner)
        weights = self.weights.astype(np.float64)
        total = np.zeros((self.outer, len(self.indices), self.inner))
        for tap in range(self.indices.shape[1]):
            total += source[:, self.indices[:, tap]] * weights[:, tap, None]
        return total.reshape(-1)

    def terms(self, magnitudes: Sequence[Tensor]) -> tuple[Tensor, int]:
        return replace(self, weights=np.abs(self.weights)).combine(magnitudes), self.indices.shape[1] + 2


@dataclass(frozen=True, eq=False)
class AxisSoftmax(General):
    """exp(x - max) / sum along the axis, or its logarithm."""

    outer: int = field(kw_only=True)
    length: int = field(kw_only=True)
    inner: int = field(kw_only=True)
    logarithm: bool = field(kw_only=True, default=False)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0].reshape(self.outer, self.length, self.inner)
        x = x - x.max(axis=1, keepdims=True)
        sums = np.exp(x).sum(axis=1, keepdims=True)
        found: Tensor = x - np.log(sums) if self.logarithm else np.exp(x) / sums
        return found.reshape(-1)

    def own_error(self, result: Tensor) -> Tensor | float:
        """exp(x - max) is off by |x - max| units and the function's own; less than exp(-100) is zero."""
        parts = np.abs(result).reshape(self.outer, self.length, self.inner)
        if self.logarithm:
            error: Tensor = (self.length + FUNCTION_UNITS) * (parts + np.log(self.length) + 1)
            return error.reshape(result.shape)
        most = np.broadcast_to(parts.max(axis=1, keepdims=True), parts.shape)
        return ((self.length + 100 + FUNCTION_UNITS) * most).reshape(result.shape)


@dataclass(frozen=True, eq=False)
class AxisExtreme(General):
    """The place of the largest or smallest element along the axis: the first of equals, or the last. NaN comes first.

    Places are whole numbers, exact in float32 up to 2^24.
    """

    outer: int = field(kw_only=True)
    length: int = field(kw_only=True)
    inner: int = field(kw_only=True)
    smallest: bool = field(kw_only=True, default=False)
    last: bool = field(kw_only=True, default=False)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0].reshape(self.outer, self.length, self.inner)
        find = np.argmin if self.smallest else np.argmax
        places = self.length - 1 - find(x[:, ::-1], axis=1) if self.last else find(x, axis=1)
        return np.asarray(places, np.float64).reshape(-1)
