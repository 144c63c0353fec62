"""Sums and products of each channel: bias, scaling, batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ellopt.model.layers.base import FloatArray, PerChannel, Tensor


@dataclass(frozen=True, eq=False)
class Bias(PerChannel):
    bias: FloatArray = field(kw_only=True)  # per channel

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.inside(buffers) + self.bias

    def combined(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return scale, shift + self.bias

    @property
    def only_adds(self) -> bool:
        return True


@dataclass(frozen=True, eq=False)
class Scaling(PerChannel):
    scales: FloatArray = field(kw_only=True)  # per channel

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.inside(buffers) * self.scales

    def combined(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return scale * self.scales, shift * self.scales


@dataclass(frozen=True, eq=False)
class BatchNormalization(PerChannel):
    """x * multiplication + addition, per channel."""

    multiplication: FloatArray = field(kw_only=True)
    addition: FloatArray = field(kw_only=True)

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.inside(buffers) * self.multiplication + self.addition

    def combined(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return scale * self.multiplication, shift * self.multiplication + self.addition
