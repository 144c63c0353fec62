"""Two tensors combined element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor

BINARY_FUNCTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": np.add,
    "subtract": np.subtract,
    "coordinatewiseMultiply": np.multiply,
    "divide": np.divide,
}


@dataclass(frozen=True, eq=False)
class BinaryOperation(Node):
    """``operation``: one of ``BINARY_FUNCTIONS``. The inputs' insides are combined."""

    operation: str = field(kw_only=True)

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return BINARY_FUNCTIONS[self.operation](self.inside(buffers), self.inside(buffers, 1))

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        operation = "add" if self.operation == "subtract" else self.operation
        return replace(self, operation=operation).compute(magnitudes), 2

    def behind(self, magnitude: Tensor, other: Tensor | None) -> tuple[Tensor, int]:
        """A sum; nothing else is computed together with what comes before it."""
        assert other is not None
        return magnitude + np.abs(other), 2
