"""The lowered form of a model: steps over tensors in memory, every tensor with its channels innermost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from ellopt.codegen.convolution.kernel import FUSED
from ellopt.codegen.weights import WeightFile
from ellopt.core.shapes import ConvolutionShape
from ellopt.model.layers import FloatArray

_LARGEST = float(np.finfo(np.float32).max)
Place = Literal["arena", "input", "output", "weights"]


@dataclass(frozen=True)
class Border:
    """Cells around a tensor that hold ``fill``: rows above and below, columns to the left and right."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    fill: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.top or self.left or self.bottom or self.right)

    def union(self, other: Border) -> Border:
        """The smallest border that contains both. Meaningful for equal fills."""
        return Border(
            max(self.top, other.top),
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
            self.fill,
        )


@dataclass(frozen=True)
class Slice:
    """A part of the tensor ``whole``, which has no border: its first element, and its own strides."""

    whole: str
    start: int
    row_stride: int
    pixel_stride: int


@dataclass(frozen=True)
class Tensor:
    """A tensor in memory. Strides and offsets are in floats.

    ``offset`` is that of element (0, 0, 0) from the start of its place; the planner of the arena sets it. ``slice``
    says where in another tensor it lies, if it has no memory of its own; then it has no border.
    """

    name: str
    place: Place
    rows: int
    columns: int
    channels: int
    border: Border = Border()
    offset: int = 0
    slice: Slice | None = None

    @property
    def buffer(self) -> str:
        """The tensor in whose memory it lies."""
        return self.slice.whole if self.slice else self.name

    @property
    def elements(self) -> int:
        return self.rows * self.columns * self.channels

    @property
    def pixel_stride(self) -> int:
        return self.slice.pixel_stride if self.slice else self.channels

    @property
    def row_stride(self) -> int:
        if self.slice:
            return self.slice.row_stride
        return (self.border.left + self.columns + self.border.right) * self.channels

    @property
    def origin(self) -> int:
        """Floats between the start of the buffer, border included, and element (0, 0, 0)."""
        return self.border.top * self.row_stride + self.border.left * self.channels

    @property
    def floats(self) -> int:
        """Floats of the buffer, border included."""
        return (self.border.top + self.rows + self.border.bottom) * self.row_stride


@dataclass(frozen=True, eq=False)
class Step:
    """A part of the computation that is done in one go. ``inputs`` and ``output`` name tensors.

    ``node_ids`` are the nodes of the model that it covers, in order; its time is reported for ``reported_id``.
    ``kind`` is a word for messages, ``function`` the C function that computes it, an ``ell_layer_fn``, and
    ``half_function`` the one where a tensor is float16, if one can be; empty for convolutions, whose kernels are
    generated. ``in_place``: whether it may write over its input. ``strided``: whether the pixels that it writes may lie
    at any distance; ``reads_strided`` the same of those that it reads.
    """

    kind: ClassVar[str]
    function: ClassVar[str] = ""
    half_function: ClassVar[str] = ""
    in_place: ClassVar[bool] = False
    reads_strided: ClassVar[bool] = False
    strided: ClassVar[bool] = False

    node_ids: tuple[str, ...]
    type_name: str
    inputs: tuple[str, ...]
    output: str
    activation: str = "none"
    leaky_factor: float = 0.0
    beta: float = 0.0

    def may_overwrite(self, name: str) -> bool:
        """Whether it may write over its input ``name``, if that has the form of what it writes."""
        return self.in_place

    @property
    def reported_id(self) -> str:
        return self.node_ids[0]

    @property
    def takes_halves(self) -> bool:
        """Whether tensors that it reads and writes may be float16. A function that makes much of a small error of its
        argument does not take them."""
        return bool(self.half_function) and self.activation in (*FUSED, "parametric_relu")

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        """The fields of its ``ell_step`` beyond those of every step; what it holds is added to ``weights``."""
        return {}


@dataclass(frozen=True, eq=False)
class ConvolutionStep(Step):
    """Convolution, then bias, then the activation; the residual (second input, if there is one) before or behind it."""

    kind = "convolution"
    strided = True
    reads_strided = True

    shape: ConvolutionShape = field(kw_only=True)
    border: Border = field(kw_only=True)  # the cells outside its input that it reads
    name: str = field(kw_only=True)
    weights: FloatArray = field(kw_only=True)  # [filter, row, column, channel], scales folded in
    bias: FloatArray = field(kw_only=True)
    residual_last: bool = field(kw_only=True, default=False)
    pads_input: bool = field(kw_only=True, default=False)  # whether it puts the border around its input

    @property
    def row_extent(self) -> int:
        """Rows that a window reaches over."""
        return (self.shape.receptive_field - 1) * self.shape.row_dilation + 1

    @property
    def residual(self) -> bool:
        return len(self.inputs) > 1

    @property
    def takes_halves(self) -> bool:
        """A kernel in float16 does, whatever follows its sums; of others the plan knows."""
        return True

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        """Its windows, and how far they reach beyond the tensor."""
        b = self.border
        return {
            "size": self.row_extent, "stride": self.shape.stride,
            "top": b.top, "left": b.left, "bottom": b.bottom, "right": b.right, "outside": c_float(b.fill),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class CopyStep(Step):
    """Copies element by element between two layouts of strides, or from float32 to float16.

    ``*_strides`` are floats along (row, column, channel), ``*_offset`` from element (0, 0, 0) of the tensor; None
    means the tensor's own. With ``clear`` the whole output buffer is set to it first.
    """

    kind = "copy"
    function = "ell_copy_values"
    half_function = "ell_half_copy_values"
    reads_strided = True

    size: tuple[int, int, int] = field(kw_only=True)
    input_strides: tuple[int, int, int] | None = field(kw_only=True, default=None)
    input_offset: int = field(kw_only=True, default=0)
    output_strides: tuple[int, int, int] | None = field(kw_only=True, default=None)
    output_offset: int = field(kw_only=True, default=0)
    clear: float | None = field(kw_only=True, default=None)

    @property
    def takes_halves(self) -> bool:
        """It can not read them."""
        return False


@dataclass(frozen=True, eq=False)
class Network:
    """Steps in order of execution. ``input_name`` and ``output_name`` are the caller's arrays: tensors without
    border, rows x columns x channels. ``chains``: of steps, by their places, that may take turns (bands.py)."""

    steps: tuple[Step, ...]
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, FloatArray]
    input_name: str
    output_name: str
    arena_floats: int
    chains: tuple[tuple[int, ...], ...] = ()

    @property
    def convolutions(self) -> tuple[ConvolutionStep, ...]:
        return tuple(step for step in self.steps if isinstance(step, ConvolutionStep))


def c_float(value: float) -> str:
    """``value`` as a constant of C; infinity becomes the largest number."""
    clamped = min(max(float(value), -_LARGEST), _LARGEST)
    return f"{clamped!r}f"
