"""What the nodes of a model mean, as frozen values: one class a kind, weights as float32 NumPy arrays.

Sizes are (rows, columns, channels). All arrays are read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class MemoryLayout:
    """Where a tensor lies in its buffer. ``size``, ``extent`` and ``offset`` are logical: (row, column, channel).

    ``order`` maps physical to logical dimensions: (0, 1, 2) is row, column, channel with the channel fastest,
    (2, 0, 1) is channel-major. ``increment`` is in elements, in physical order, as the file gives it.
    """

    size: Shape3
    extent: Shape3
    offset: Shape3
    order: Shape3 = (0, 1, 2)
    increment: Shape3 = (0, 0, 0)

    @property
    def strides(self) -> Shape3:
        """Elements between neighbours along (row, column, channel)."""
        strides = [0, 0, 0]
        step = 1
        for dimension in reversed(self.order):
            strides[dimension] = step
            step *= self.extent[dimension]
        return (strides[0], strides[1], strides[2])

    @property
    def elements(self) -> int:
        """Elements of the whole buffer, padding included."""
        return self.extent[0] * self.extent[1] * self.extent[2]


@dataclass(frozen=True, eq=False)
class Node:
    """A node with its inputs: ids of the nodes that it reads, and the layouts of what it reads and writes."""

    node_id: str
    type_name: str
    inputs: tuple[str, ...]
    input_layouts: tuple[MemoryLayout, ...]
    output_layout: MemoryLayout
    #: value of the border of the output buffer, where extent is larger than size
    padding_value: float = 0.0
    name: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The model's input."""


@dataclass(frozen=True, eq=False)
class Output(Node):
    """The model's output."""


@dataclass(frozen=True, eq=False)
class Reorder(Node):
    """Copies into another layout (ReorderDataCodeNode), usually to add padding."""


@dataclass(frozen=True, eq=False)
class Reinterpret(Node):
    """The same elements read with another layout (ReinterpretLayoutNode): no element moves."""


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """A constant tensor; ``values`` has the extent of the output layout, in memory order, flattened."""

    values: FloatArray = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Convolution(Node):
    """``weights``: [filter, row, column, channel]; depthwise: [channel, row, column, 1].

    Window (0, 0) begins at the first cell of the input buffer, border included: the border is the padding.
    """

    receptive_field: int = field(kw_only=True)
    stride: int = field(kw_only=True)
    depthwise: bool = field(kw_only=True)
    weights: FloatArray = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Bias(Node):
    bias: FloatArray = field(kw_only=True)  # per channel


@dataclass(frozen=True, eq=False)
class Scaling(Node):
    scales: FloatArray = field(kw_only=True)  # per channel


@dataclass(frozen=True, eq=False)
class BatchNormalization(Node):
    """x * multiplication + addition, per channel."""

    multiplication: FloatArray = field(kw_only=True)
    addition: FloatArray = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Activation(Node):
    """``function``: relu, leaky_relu, parametric_relu, sigmoid, tanh, hard_sigmoid, hard_tanh."""

    function: str = field(kw_only=True)
    leaky_factor: float = field(kw_only=True, default=0.0)
    alpha: FloatArray | None = field(kw_only=True, default=None)  # parametric: [row, column, channel] of the size


@dataclass(frozen=True, eq=False)
class Pooling(Node):
    """``function``: max or mean.

    Border cells of the input buffer take part with their value. Cells of a window beyond the buffer count as 0 in a
    mean, which always divides by pooling_size squared, and take no part in a maximum.
    """

    function: str = field(kw_only=True)
    pooling_size: int = field(kw_only=True)
    stride: int = field(kw_only=True)
    #: the layer's inputPaddingSize: the first window begins this many cells before the input's inside
    padding: int = field(kw_only=True, default=0)


@dataclass(frozen=True, eq=False)
class FullyConnected(Node):
    weights: FloatArray = field(kw_only=True)  # [output, row * column * channel]


@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """exp(x - max) / sum over all elements."""


@dataclass(frozen=True, eq=False)
class BinaryOperation(Node):
    """``operation``: add, subtract, coordinatewiseMultiply, divide. The inputs' insides are combined."""

    operation: str = field(kw_only=True)
