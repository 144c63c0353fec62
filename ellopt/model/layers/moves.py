"""Kinds that compute nothing: they move elements, or look at them in another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ellopt.model.layers.base import FloatArray, Node, Tensor


@dataclass(frozen=True, eq=False)
class Reorder(Node):
    """Copies into another layout (ReorderDataCodeNode), usually to add padding."""

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.inside(buffers)


@dataclass(frozen=True, eq=False)
class Reinterpret(Node):
    """The same elements read with another layout (ReinterpretLayoutNode): no element moves."""

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.inside(buffers)

    def write(self, buffers: Sequence[FloatArray]) -> FloatArray:
        return buffers[0]
