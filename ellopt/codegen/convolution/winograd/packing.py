"""Winograd's weights, transformed once, at build time (see matrices.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ellopt.codegen.convolution.packing import FloatArray
from ellopt.codegen.convolution.winograd.matrices import DERIVED_TILE, Matrix, weight_transforms


def transform_weights(weights: FloatArray, tile: int, stride: int = 1) -> Matrix:
    """G g G^T of ``weights`` [filter, row, column, channel], as [position, channel, filter] in double precision.
    Windows are 3x3, or 1x3 and 3x1, which are transformed along their three weights alone. Positions with equal weights
    are one."""
    filters, rows, columns, channels = weights.shape
    along_rows, along_columns = (
        np.eye(1) if size == 1 else transform
        for size, transform in zip((rows, columns), weight_transforms(tile, stride), strict=True)
    )
    taps = weights.astype(np.float64).transpose(1, 2, 3, 0).reshape(rows * columns, -1)
    transformed: Matrix = np.kron(along_rows, along_columns) @ taps  # much faster than a product for each filter
    return transformed.reshape(-1, channels, filters)


@dataclass(frozen=True)
class WinogradPacking:
    """[panel][position][channel][filter of the panel]: what conv_winograd.h reads; [position][panel][channel][filter of
    the panel] if ``position_first``.

    Filters are filled up with zeros to whole vectors; the first ``wide_panels`` panels have ``vectors`` vectors,
    the others one less.
    """

    tile: int
    vector_width: int
    panels: int
    wide_panels: int
    vectors: int
    position_first: bool = False
    stride: int = 1

    def pack(self, weights: FloatArray) -> FloatArray:
        positions = transform_weights(weights, self.tile, self.stride)
        count, channels, filters = positions.shape
        packed = np.zeros(count * channels * -(-filters // self.vector_width) * self.vector_width, np.float32)
        rows = packed.reshape(count, -1)  # if ``position_first``
        first, begin = 0, 0
        for panel in range(self.panels):
            width = (self.vectors - (panel >= self.wide_panels)) * self.vector_width
            part = positions[:, :, first : first + width]  # rounded to float32 where it is put
            if self.position_first:
                filled = np.zeros((count, channels, width), np.float32)
                filled[:, :, : part.shape[2]] = part
                rows[:, begin : begin + channels * width] = filled.reshape(count, -1)
                begin += channels * width
            else:
                packed[begin : begin + count * channels * width].reshape(count, channels, width)[
                    :, :, : part.shape[2]
                ] = part
                begin += count * channels * width
            first += width
        return packed


@dataclass(frozen=True)
class DerivingWinogradPacking:
    """[row of positions][vector of filters][channel][point across][lane], filled up with zeros: what
    conv_winograd_multiply_row.h reads."""

    vector_width: int

    def pack(self, weights: FloatArray) -> FloatArray:
        _, across = weight_transforms(DERIVED_TILE)
        positions = transform_weights(weights, DERIVED_TILE)
        padded = np.pad(positions, ((0, 0), (0, 0), (0, -positions.shape[2] % self.vector_width)))
        lanes = padded.reshape(
            -1, len(across), padded.shape[1], padded.shape[2] // self.vector_width, self.vector_width
        )
        return np.ascontiguousarray(lanes.transpose(0, 3, 2, 1, 4), np.float32).reshape(-1)


@dataclass(frozen=True)
class DepthwiseWinogradPacking:
    """[vector of channels][position][lane], filled up with zeros: what conv_winograd_depthwise.h reads."""

    tile: int
    vector_width: int

    def pack(self, weights: FloatArray) -> FloatArray:
        channels = weights.shape[0]
        positions = transform_weights(weights, self.tile)[:, 0, :].astype(np.float32)
        lanes = np.pad(positions, ((0, 0), (0, -channels % self.vector_width)))
        return np.ascontiguousarray(lanes.reshape(len(lanes), -1, self.vector_width).transpose(1, 0, 2)).reshape(-1)
