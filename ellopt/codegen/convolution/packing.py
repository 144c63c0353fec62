"""Weights laid out for the kernels: done once, at build time, as weights are constants.

All take float32 weights [filter, row, column, channel] (depthwise: [channel, row, column, 1]) with everything that
scales them already folded in, and return a flat float32 array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Packing(Protocol):
    """A layout of weights that a C template expects."""

    def pack(self, weights: FloatArray) -> FloatArray:
        """``weights`` [filter, row, column, channel] as the kernel reads them, flat."""


@dataclass(frozen=True)
class DirectPacking:
    """[group][row][column][channel][filter]; depthwise [row][column][channel]: what conv_simple.h reads."""

    groups: int = 1

    def pack(self, weights: FloatArray) -> FloatArray:
        filters = weights.reshape(self.groups, -1, *weights.shape[1:])
        return np.ascontiguousarray(filters.transpose(0, 2, 3, 4, 1), dtype=np.float32).reshape(-1)


@dataclass(frozen=True)
class PanelPacking:
    """[group][panel][row][column][channel][filter of the panel]: what conv_unrolled.h reads.

    Filters are filled up with zeros to whole vectors; the first ``wide_panels`` panels have ``vectors`` vectors,
    the others one less.
    """

    vector_width: int
    panels: int
    wide_panels: int
    vectors: int
    groups: int = 1

    def pack(self, weights: FloatArray) -> FloatArray:
        return np.concatenate([panel for group in np.split(weights, self.groups) for panel in self.cut(group)])

    def cut(self, weights: FloatArray) -> list[FloatArray]:
        """The panels, flat."""
        filters = weights.shape[0]
        all_vectors = -(-filters // self.vector_width)
        columns = np.zeros((weights.size // filters, all_vectors * self.vector_width), np.float32)
        columns[:, :filters] = weights.reshape(filters, -1).T
        packed, first = [], 0
        for panel in range(self.panels):
            last = first + (self.vectors if panel < self.wide_panels else self.vectors - 1)
            packed.append(columns[:, first * self.vector_width : last * self.vector_width].reshape(-1))
            first = last
        return packed


@dataclass(frozen=True)
class DepthwisePacking:
    """[vector of channels][row][column][lane], filled up with zeros: what conv_depthwise.h reads."""

    vector_width: int

    def pack(self, weights: FloatArray) -> FloatArray:
        channels, taps = weights.shape[0], weights.shape[1] * weights.shape[2]
        vectors = -(-channels // self.vector_width)
        lanes = np.zeros((vectors * self.vector_width, taps), np.float32)
        lanes[:channels] = weights.reshape(channels, -1)
        packed = lanes.reshape(vectors, self.vector_width, taps).transpose(0, 2, 1)
        return np.ascontiguousarray(packed).reshape(-1)


@dataclass(frozen=True)
class DotPacking:
    """[row][run][vector of the run][filter][lane], filled up with zeros: what conv_dot.h reads.

    ``whole_rows``: a run is a row of the receptive field, else one pixel's channels.
    """

    vector_width: int
    whole_rows: bool

    def pack(self, weights: FloatArray) -> FloatArray:
        filters, rows, columns, _ = weights.shape
        runs = weights.reshape(filters, rows, 1 if self.whole_rows else columns, -1)
        vectors = -(-runs.shape[3] // self.vector_width)
        filled = np.zeros((*runs.shape[:3], vectors * self.vector_width), np.float32)
        filled[..., : runs.shape[3]] = runs
        filled = filled.reshape(*runs.shape[:3], vectors, self.vector_width)
        return np.ascontiguousarray(filled.transpose(1, 2, 3, 0, 4)).reshape(-1)


@dataclass(frozen=True)
class StrassenPacking:
    """[panel][B11 B21 T2 T3 T4 T1 B22][row][column][channel of a half][filter of the panel], with two levels
    [panel][the seven][the seven of each][row][column][channel of a quarter][filter of the panel]: see conv_strassen.h.

    ``panels`` says how half, or a quarter, of the filters are cut into panels.
    """

    panels: PanelPacking
    levels: int = 1

    def pack(self, weights: FloatArray) -> FloatArray:
        blocks = [weights.astype(np.float64)]
        for _ in range(self.levels):
            blocks = [operand for block in blocks for operand in _strassen_operands(block)]
        cut = [self.panels.cut(block.astype(np.float32)) for block in blocks]
        return np.concatenate([panel for same_panel in zip(*cut, strict=True) for panel in same_panel])


def _strassen_operands(weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """The right operands of the seven products, in the order of their computation."""
    filters, channels = weights.shape[0] // 2, weights.shape[3] // 2
    b11, b12 = weights[:filters, ..., :channels], weights[filters:, ..., :channels]
    b21, b22 = weights[:filters, ..., channels:], weights[filters:, ..., channels:]
    t1, t3 = b12 - b11, b22 - b12
    t2 = b22 - t1
    return b11, b21, t2, t3, b21 - t2, t1, b22
