"""The largest or the mean value of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class Pooling(Node):
    """``function``: max or mean.

    Border cells of the input buffer take part with their value. Cells of a window beyond the buffer count as 0 in a
    mean, which always divides by pooling_size squared, and take no part in a maximum.
    """

    function: str = field(kw_only=True)
    pooling_size: int = field(kw_only=True)
    stride: int = field(kw_only=True)
    #: the layer's inputPaddingSize: the first window begins this many cells before the input's inside
    padding: int = field(kw_only=True, default=0)

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        source = self.input_layouts[0].view(buffers[0], border=True).astype(np.float64)
        rows, columns, _ = self.output_layout.size
        missing = [
            max(0, (n - 1) * self.stride + self.pooling_size - whole)
            for n, whole in zip((rows, columns), source.shape[:2], strict=True)
        ]
        is_max = self.function == "max"
        edges = ((0, missing[0]), (0, missing[1]), (0, 0))
        padded = np.pad(source, edges, constant_values=-np.inf if is_max else 0)
        window = (self.pooling_size, self.pooling_size)
        windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(0, 1))
        windows = windows[:: self.stride, :: self.stride][:rows, :columns]
        pooled: Tensor = windows.max(axis=(3, 4)) if is_max else windows.mean(axis=(3, 4))
        return pooled

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        """A maximum is exact."""
        if self.function == "max":
            return np.zeros(self.output_layout.size), 0
        return self.compute(magnitudes), self.pooling_size**2 + 2
