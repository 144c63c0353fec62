"""Float16 in kernels: weights and inputs are rounded to eleven bits, and twice as many of them are multiplied at once.

Products are summed in float16 for a number of terms only, and those sums in float32: the error of a sum grows with its
terms (N. J. Higham: Accuracy and Stability of Numerical Algorithms, 2002, section 4.2 has blocked summation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ellopt.codegen.convolution.packing import FloatArray, Packing
from ellopt.core.shapes import ConvolutionShape
from ellopt.model.rounding import DEVIATIONS
from ellopt.targets import Cpu

#: Products that are summed in float16 at most: a pixel of 256 channels at once.
HALF_TERMS = 256
#: How much coarser float16 is than float32: 11 bits instead of 24.
_COARSER = 2.0**13


@dataclass(frozen=True)
class HalfPacking:
    """What ``whole`` packs, each value rounded to float16: two in the place of a float32, the first in its lower half.

    Values beyond float16 become infinite, which the check of outputs finds.
    """

    whole: Packing

    def pack(self, weights: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            halves = self.whole.pack(weights).astype("<f2")
        return np.pad(halves, (0, halves.size % 2)).view("<f4")


def half_cpu(cpu: Cpu) -> Cpu:
    """``cpu`` as a matrix multiplication in float16 sees it: its vectors have more lanes, its caches more elements."""
    more = cpu.half_lanes // cpu.lanes
    return replace(
        cpu, lanes=cpu.half_lanes, near_bytes=more * cpu.near_bytes, own_weight_bytes=more * cpu.own_weight_bytes
    )


def half_applies(shape: ConvolutionShape) -> bool:
    """Whether a layer that is not depthwise can be computed in float16."""
    return not shape.depthwise and shape.groups == 1 and shape.row_dilation == shape.column_dilation == 1


def half_applies_depthwise(shape: ConvolutionShape) -> bool:
    """Whether a depthwise layer can be computed in float16: with few enough terms for a sum in it."""
    return shape.depthwise and shape.groups == 1 and shape.weights_per_filter <= HALF_TERMS


def half_rounding(terms: int) -> float:
    """How many times as far as float32 a sum of ``terms`` products may be off in float16.

    Each product has two rounded factors, and what comes out is rounded. Of the sum, at most HALF_TERMS are added in
    float16: roundings of both signs amount to the root of their number. ``model.rounding`` allows float32 ``units``.
    """
    units = min(terms, DEVIATIONS * math.sqrt(terms))
    rounded = 3.0 + math.sqrt(min(terms, HALF_TERMS))
    return _COARSER * rounded / units
