"""Tensors combined element by element, where one may be the same along some axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers.base import Tensor
from ellopt.model.layers.general import General, strided


def _where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return np.where(condition != 0, yes, no)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return np.where(x > 0, x, x * slope)


#: "where" takes three operands, all others two. Truth is 1.0; all that is not 0 is true.
BROADCAST_OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
    "prelu": _prelu,
    "equal": np.equal,
    "greater": np.greater,
    "less": np.less,
    "where": _where,
}
#: Units by which others than sums may be off; those that are not here are exact.
_UNITS = {"multiply": 4.0, "divide": 4.0, "prelu": 4.0, "power": 64.0}


@dataclass(frozen=True, eq=False)
class Broadcast(General):
    """One of BROADCAST_OPERATIONS over ``counts`` elements; ``strides`` has those of each operand, 0 where it is the
    same along an axis."""

    operation: str = field(kw_only=True)
    counts: tuple[int, ...] = field(kw_only=True)
    strides: tuple[tuple[int, ...], ...] = field(kw_only=True)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        operands = (strided(x, self.counts, s) for x, s in zip(inputs, self.strides, strict=True))
        return BROADCAST_OPERATIONS[self.operation](*operands).astype(np.float64).reshape(-1)

    def terms(self, magnitudes: Sequence[Tensor]) -> tuple[Tensor, int]:
        if self.operation not in ("add", "subtract"):
            return np.zeros(1), 0
        first, second = (strided(x, self.counts, s) for x, s in zip(magnitudes, self.strides, strict=True))
        return (first + second).reshape(-1), 2

    def own_error(self, result: Tensor) -> Tensor | float:
        return _UNITS.get(self.operation, 0.0) * np.abs(result)
