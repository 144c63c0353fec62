"""Folding of per-channel sums and products (bias, scaling, batch normalisation) into one scale and one shift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ellopt.model.layers import FloatArray, Node, PerChannel


@dataclass(frozen=True, eq=False)
class ChannelAffine:
    """x * scale + shift for each channel."""

    scale: FloatArray
    shift: FloatArray

    def repeated(self, pixels: int) -> ChannelAffine:
        """The same for each element of a tensor of so many pixels, its channels innermost."""
        return ChannelAffine(np.tile(self.scale, pixels), np.tile(self.shift, pixels))

    def scaled(self, weights: FloatArray) -> FloatArray:
        """``weights``, first dimension filters, with each filter multiplied by its scale."""
        if np.all(self.scale == 1):
            return weights
        return (weights * self.scale.reshape(-1, *(1,) * (weights.ndim - 1))).astype(np.float32)


def fold(nodes: Iterable[Node], channels: int) -> ChannelAffine:
    """What those of ``nodes`` that work per channel do together, computed in double."""
    scale = np.ones(channels)
    shift = np.zeros(channels)
    for node in nodes:
        if isinstance(node, PerChannel):
            scale, shift = node.combined(scale, shift)
    return ChannelAffine(scale.astype(np.float32), shift.astype(np.float32))
