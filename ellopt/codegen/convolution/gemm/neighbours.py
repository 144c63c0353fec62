"""Few filters over wide windows: neighbouring pixels of a row as one pixel with more filters.

With a single vector of filters every value of the input is loaded for one multiplication. Windows of neighbours overlap
in all but a few columns. As one wider window with the filters of both, shifted and filled up with zeros, values are
loaded for two, and vectors are filled that one pixel's filters do not fill.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.codegen.convolution.packing import FloatArray, PanelPacking

#: A step of one vector costs as much as one of so many: it waits for the value that it multiplies. Measured on x86-64
#: with vectors of 8, where 3x39 windows over 8 channels take 0.66 of the time together, 5x5 0.82, 3x3 0.91 to 1.09.
_SINGLE = 1.4
#: What is left of the cost where pixels are computed together, at most.
_WORTHWHILE = 0.9


def neighbours_of(site: KernelSite) -> int:
    """How many pixels are computed as one; 1 where that gains nothing, or where pixels do not lie one after the other.

    Zeros are multiplied, too: 40 columns for 39 (layers of pitch trackers) or 4 for 3.
    """
    lanes = site.cpu.lanes
    dense = site.out_pixel_stride == site.filters and (not site.residual or site.residual_pixel_stride == site.filters)
    if lanes == 1 or site.filters > lanes or site.groups > 1 or site.column_dilation > 1 or not dense:
        return 1
    costs = {count: _cost(site, count) for count in (1, 2, 4) if site.out_columns % count == 0}
    best = min(costs, key=lambda count: costs[count])
    return best if costs[best] <= _WORTHWHILE * costs[1] else 1


def _cost(site: KernelSite, neighbours: int) -> float:
    """Multiplications of a pixel's row of the window, in vectors."""
    columns = (site.field_columns or site.field) + (neighbours - 1) * site.strides[1]
    vectors = -(-site.filters * neighbours // site.cpu.lanes)
    return columns * (_SINGLE if vectors == 1 else vectors) / neighbours


def as_one(site: KernelSite, neighbours: int) -> KernelSite:
    """``site`` where each pixel is ``neighbours`` of a row."""
    if neighbours == 1:
        return site
    stride = site.strides[1]
    return replace(
        site,
        out_columns=site.out_columns // neighbours,
        filters=site.filters * neighbours,
        field_columns=(site.field_columns or site.field) + (neighbours - 1) * stride,
        column_stride=stride * neighbours,
        out_pixel_stride=site.out_pixel_stride * neighbours,
        residual_pixel_stride=site.residual_pixel_stride * neighbours,
    )


@dataclass(frozen=True)
class NeighbourPacking:
    """As ``panels``, of the filters of ``neighbours`` pixels that are ``stride`` columns apart."""

    panels: PanelPacking
    neighbours: int
    stride: int

    def pack(self, weights: FloatArray) -> FloatArray:
        if self.neighbours == 1:
            return self.panels.pack(weights)
        filters, rows, columns, channels = weights.shape
        wide = np.zeros(
            (self.neighbours, filters, rows, columns + (self.neighbours - 1) * self.stride, channels), np.float32
        )
        for pixel in range(self.neighbours):
            wide[pixel, :, :, pixel * self.stride : pixel * self.stride + columns] = weights
        return self.panels.pack(wide.reshape(-1, *wide.shape[2:]))
