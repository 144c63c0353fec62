"""Where a model begins and ends, and constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The model's input."""

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        raise TypeError("an input is given, not computed")


@dataclass(frozen=True, eq=False)
class Output(Node):
    """The model's output: the very buffer of the node that it reads."""

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.inside(buffers)

    def write(self, buffers: Sequence[FloatArray]) -> FloatArray:
        return buffers[0]

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        return np.zeros(self.output_layout.size), 0


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """A constant tensor; ``values`` has the extent of the output layout, in memory order, flattened."""

    values: FloatArray = field(kw_only=True)

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.output_layout.view(self.values).astype(np.float64)

    def write(self, buffers: Sequence[FloatArray]) -> FloatArray:
        return self.values
