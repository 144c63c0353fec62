"""Pooling over windows of any form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers.base import Tensor
from ellopt.model.layers.general import General, IntArray


@dataclass(frozen=True, eq=False)
class WindowPooling(General):
    """Pooling by windows of any form. All pairs are (rows, columns); ``padding`` is (above, to the left).

    Cells outside the input take no part in a maximum; ``counted`` has for each output row and column how many of a
    window's rows and columns a mean divides by.
    """

    function: str = field(kw_only=True)
    window: tuple[int, int] = field(kw_only=True)
    strides: tuple[int, int] = field(kw_only=True)
    dilations: tuple[int, int] = field(kw_only=True)
    padding: tuple[int, int] = field(kw_only=True)
    counted: tuple[IntArray, IntArray] = field(kw_only=True)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        rows, columns, channels = self.input_layouts[0].size
        source = inputs[0].reshape(rows, columns, channels)
        out_rows, out_columns, _ = self.output_layout.size
        is_max = self.function == "max"
        total = np.full((out_rows, out_columns, channels), -np.inf if is_max else 0.0)
        for r in range(self.window[0]):
            y = np.arange(out_rows) * self.strides[0] - self.padding[0] + r * self.dilations[0]
            for c in range(self.window[1]):
                x = np.arange(out_columns) * self.strides[1] - self.padding[1] + c * self.dilations[1]
                inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))[None, :]
                cells = source[np.clip(y, 0, rows - 1)][:, np.clip(x, 0, columns - 1)]
                cells = np.where(inside[:, :, None], cells, -np.inf if is_max else 0.0)
                total = np.maximum(total, cells) if is_max else total + cells
        if not is_max:
            total /= (self.counted[0][:, None] * self.counted[1][None, :])[:, :, None]
        return total.reshape(-1)

    def terms(self, magnitudes: Sequence[Tensor]) -> tuple[Tensor, int]:
        if self.function == "max":
            return np.zeros(1), 0
        return self.combine(magnitudes), self.window[0] * self.window[1] + 2
