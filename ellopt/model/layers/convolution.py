"""Convolutions, depthwise ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class Convolution(Node):
    """``weights``: [filter, row, column, channel of the group]; depthwise: [channel, row, column, 1].

    Window (0, 0) begins at the first cell of the input buffer, border included: the border is the padding.
    ``columns`` and ``column_stride``: where windows are not square, or move unlike along rows; 0 says as the other one.
    ``dilations``: cells between neighbours of a window's, along rows and columns. Filters and channels are in
    ``groups``, each filter over the channels of its own.
    """

    receptive_field: int = field(kw_only=True)
    stride: int = field(kw_only=True)
    depthwise: bool = field(kw_only=True)
    weights: FloatArray = field(kw_only=True)
    columns: int = field(kw_only=True, default=0)
    column_stride: int = field(kw_only=True, default=0)
    dilations: tuple[int, int] = field(kw_only=True, default=(1, 1))
    groups: int = field(kw_only=True, default=1)

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the receptive field, its dilation not counted."""
        return (self.receptive_field, self.columns or self.receptive_field)

    @property
    def strides(self) -> tuple[int, int]:
        return (self.stride, self.column_stride or self.stride)

    @property
    def minimal_filtering(self) -> bool:
        """Whether there is minimal filtering (winograd) of windows that move so."""
        straight = self.dilations == (1, 1) and self.groups == 1
        strided = self.window == (3, 3) and self.strides == (2, 2) and not self.depthwise
        lines = self.window in ((3, 3), (1, 3), (3, 1)) and self.strides == (1, 1)
        return straight and (lines or strided)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns that a window reaches over."""
        (rows, columns), (down, right) = self.window, self.dilations
        return ((rows - 1) * down + 1, (columns - 1) * right + 1)

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        """A sum over the taps of the receptive field: each is a product of matrices over all output pixels at once."""
        source = self.input_layouts[0].view(buffers[0], border=True).astype(np.float64)
        rows, columns, filters = self.output_layout.size
        weights = self.weights.astype(np.float64)
        result = np.zeros((rows * columns, filters))
        (down, right), (y_stride, x_stride) = self.dilations, self.strides
        for row in range(self.window[0]):
            for column in range(self.window[1]):
                tap = source[row * down :: y_stride, column * right :: x_stride][:rows, :columns]
                tap = tap.reshape(rows * columns, -1)
                if self.depthwise:
                    result += tap * weights[:, row, column, 0]
                elif self.groups == 1:
                    result += tap @ weights[:, row, column].T
                else:
                    result += self._of_groups(tap, weights[:, row, column])
        return result.reshape(rows, columns, filters)

    def _of_groups(self, tap: Tensor, weights: Tensor) -> Tensor:
        """Pixels x channels times filters x channels of a group: pixels x filters."""
        pixels = tap.reshape(len(tap), self.groups, -1).swapaxes(0, 1)
        filters = weights.reshape(self.groups, -1, weights.shape[1]).swapaxes(1, 2)
        return (pixels @ filters).swapaxes(0, 1).reshape(len(tap), -1)

    @property
    def multiply_adds(self) -> int:
        rows, columns, _ = self.output_layout.size
        return rows * columns * self.weights.size

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        return replace(self, weights=np.abs(self.weights)).compute(magnitudes), int(self.weights[0].size) + 2
