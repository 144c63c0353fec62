"""The shape of a convolution layer: all that decides which ways to compute it exist and how long they take."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
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
    #: of windows that are not square, or move unlike along rows; 0: as the other one
    field_columns: int = 0
    column_stride: int = 0
    row_dilation: int = 1
    column_dilation: int = 1
    groups: int = 1

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the receptive field, its dilation not counted."""
        return (self.receptive_field, self.field_columns or self.receptive_field)

    @property
    def strides(self) -> tuple[int, int]:
        return (self.stride, self.column_stride or self.stride)

    @property
    def plain(self) -> bool:
        """Whether it is square, moves alike along rows and columns, and has neither dilation nor groups."""
        rows, columns = self.window
        dilated = self.row_dilation != 1 or self.column_dilation != 1
        return rows == columns and self.strides[0] == self.strides[1] and not dilated and self.groups == 1

    @property
    def weights_per_filter(self) -> int:
        depth = 1 if self.depthwise else self.channels // self.groups
        return self.window[0] * self.window[1] * depth

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the direct method."""
        return self.output_rows * self.output_columns * self.filters * self.weights_per_filter

    def to_json(self) -> dict[str, Any]:
        """All fields but those beyond a plain convolution's that say nothing."""
        further = ("field_columns", "column_stride", "row_dilation", "column_dilation", "groups")
        defaults = {f.name: f.default for f in fields(self)}
        return {k: v for k, v in asdict(self).items() if k not in further or v != defaults[k]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ConvolutionShape:
        return cls(**data)

    def __str__(self) -> str:
        kind = "depthwise " if self.depthwise else ""
        size = f"{self.rows}x{self.columns}x{self.channels} -> {self.output_rows}x{self.output_columns}x{self.filters}"
        window = "x".join(map(str, self.window))
        rows, columns = self.strides
        stride = str(rows) if rows == columns else f"{rows}x{columns}"
        dilated = (self.row_dilation, self.column_dilation)
        further = "" if dilated == (1, 1) else f" dilated {dilated[0]}x{dilated[1]}"
        further += f" in {self.groups} groups" if self.groups > 1 else ""
        return f"{kind}{window}/{stride} {size}{further}"


@dataclass(frozen=True)
class ConvolutionLayer:
    """A convolution layer of a model, known by its node id."""

    node_id: str
    name: str
    shape: ConvolutionShape
