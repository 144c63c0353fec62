"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class FullyConnected(Node):
    weights: FloatArray = field(kw_only=True)  # [output, row * column * channel]

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        result: Tensor = self.weights.astype(np.float64) @ self.inside(buffers).reshape(-1)
        return result.reshape(self.output_layout.size)

    @property
    def multiply_adds(self) -> int:
        return self.weights.size

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        return replace(self, weights=np.abs(self.weights)).compute(magnitudes), int(self.weights[0].size) + 2
