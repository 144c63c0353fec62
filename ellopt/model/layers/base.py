"""What all kinds of nodes share: where their tensors lie, what they compute, how far float32 may be off in it.

Sizes are (rows, columns, channels). Arrays that nodes hold are read-only float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Tensor = npt.NDArray[np.float64]
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

    def view(self, buffer: FloatArray, border: bool = False) -> FloatArray:
        """A flat buffer as rows x columns x channels, with its border or without; shares memory with the buffer."""
        physical = buffer.reshape([self.extent[dimension] for dimension in self.order])
        logical = physical.transpose(np.argsort(self.order))
        if border:
            return logical
        return logical[tuple(slice(o, o + n) for o, n in zip(self.offset, self.size, strict=True))]


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """A node with its inputs: ids of the nodes that it reads, and the layouts of what it reads and writes.

    A kind is a subclass that says what it computes (``compute``) and how far roundings go in it (``first_terms`` or
    ``behind``). Every node writes a flat buffer with its border filled; the next views it with a layout of its own.
    """

    node_id: str
    type_name: str
    inputs: tuple[str, ...]
    input_layouts: tuple[MemoryLayout, ...]
    output_layout: MemoryLayout
    #: value of the border of the output buffer, where extent is larger than size
    padding_value: float = 0.0
    name: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @abstractmethod
    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        """The output (size, without border) from the flat buffers of the inputs, summed in float64.

        NaN in a window, a sum or an activation makes its result NaN.
        """

    def write(self, buffers: Sequence[FloatArray]) -> FloatArray:
        """The flat buffer that the node leaves, from the flat buffers of its inputs."""
        return self.with_border(self.compute(buffers))

    def with_border(self, values: FloatArray | Tensor) -> FloatArray:
        """The flat buffer that holds ``values`` (rows x columns x channels) as this node writes it, float32."""
        layout = self.output_layout
        buffer = np.full(layout.elements, self.padding_value, np.float32)
        layout.view(buffer)[...] = values.reshape(layout.size)
        return buffer

    def inside(self, buffers: Sequence[FloatArray], index: int = 0) -> Tensor:
        """An input without its border, in float64."""
        return self.input_layouts[index].view(buffers[index]).astype(np.float64)

    @property
    def parameters(self) -> int:
        """How many trained numbers it holds."""
        arrays = (getattr(self, each.name) for each in fields(self))
        return sum(array.size for array in arrays if isinstance(array, np.ndarray))

    @property
    def multiply_adds(self) -> int:
        """How many of the direct method, in kinds in which they matter."""
        return 0

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int] | None:
        """The sum of the absolute values of the terms of each output, and how many terms there are, from the absolute
        values of the inputs' buffers. None for a kind that works element by element, which ``behind`` describes."""
        return None

    def behind(self, magnitude: Tensor, other: Tensor | None) -> tuple[Tensor, int]:
        """The same for a node that takes a result of this ``magnitude`` element by element: the new magnitude, and by
        how many the terms grow. ``other``: its other operand, where it has one."""
        raise TypeError(f"{self.type_name} does not work element by element")

    def own_error(self, result: Tensor) -> Tensor | float:
        """What computing a ``result`` adds to the error besides roundings of sums, in units of the last place."""
        return 0.0


@dataclass(frozen=True, eq=False)
class PerChannel(Node):
    """A kind that computes x * scale + shift with numbers of each channel: it needs no C of its own."""

    @abstractmethod
    def combined(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """The scale and the shift of x * ``scale`` + ``shift`` and this node behind it."""

    @property
    def only_adds(self) -> bool:
        """Whether a sum that comes before it may as well come after it."""
        return False

    def behind(self, magnitude: Tensor, other: Tensor | None) -> tuple[Tensor, int]:
        channels = self.output_layout.size[2]
        scale, shift = self.combined(np.ones(channels), np.zeros(channels))
        return magnitude * np.abs(scale) + np.abs(shift), 2
