"""Convolutions, depthwise ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class Convolution(Node):
    """``weights``: [filter, row, column, channel]; depthwise: [channel, row, column, 1].

    Window (0, 0) begins at the first cell of the input buffer, border included: the border is the padding.
    """

    receptive_field: int = field(kw_only=True)
    stride: int = field(kw_only=True)
    depthwise: bool = field(kw_only=True)
    weights: FloatArray = field(kw_only=True)

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        """A sum over the taps of the receptive field: each is a product of matrices over all output pixels at once."""
        source = self.input_layouts[0].view(buffers[0], border=True).astype(np.float64)
        rows, columns, filters = self.output_layout.size
        weights = self.weights.astype(np.float64)
        result = np.zeros((rows * columns, filters))
        for row in range(self.receptive_field):
            for column in range(self.receptive_field):
                tap = source[row :: self.stride, column :: self.stride][:rows, :columns].reshape(rows * columns, -1)
                if self.depthwise:
                    result += tap * weights[:, row, column, 0]
                else:
                    result += tap @ weights[:, row, column].T
        return result.reshape(rows, columns, filters)

    @property
    def multiply_adds(self) -> int:
        rows, columns, _ = self.output_layout.size
        return rows * columns * self.weights.size

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        return replace(self, weights=np.abs(self.weights)).compute(magnitudes), int(self.weights[0].size) + 2
