"""The shape of a convolution layer: all that decides which ways to compute it exist and how long they take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class ConvolutionShape:
    """What a convolution layer computes, apart from its weights. Sizes in elements, padding not included.

    ``padding`` is the border that the layer's input carries on each side. ``epilogue`` names what is fused
    behind the convolution ("bias relu", ...): layers share measurements only if it is the same.
    """

    rows: int
    columns: int
    channels: int
    filters: int
    receptive_field: int
    stride: int
    padding: int
    depthwise: bool
    output_rows: int
    output_columns: int
    epilogue: str = ""

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the direct method."""
        depth = 1 if self.depthwise else self.channels
        return self.output_rows * self.output_columns * self.filters * self.receptive_field**2 * depth

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ConvolutionShape:
        return cls(**data)

    def __str__(self) -> str:
        kind = "depthwise " if self.depthwise else ""
        size = f"{self.rows}x{self.columns}x{self.channels} -> {self.output_rows}x{self.output_columns}x{self.filters}"
        return f"{kind}{self.receptive_field}x{self.receptive_field}/{self.stride} {size}"


@dataclass(frozen=True)
class ConvolutionLayer:
    """A convolution layer of a model, known by its node id."""

    node_id: str
    name: str
    shape: ConvolutionShape
