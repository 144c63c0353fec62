"""How a tensor of the file lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ellopt.frontends.onnx.fold import Shape
from ellopt.model.layers import MemoryLayout, Shape3


def packed(size: Shape3) -> MemoryLayout:
    """The layout of a tensor without border."""
    return MemoryLayout(size, size, (0, 0, 0), increment=(size[1] * size[2], size[2], 1))


def flat(elements: int) -> MemoryLayout:
    """The layout of a tensor that is no image."""
    return packed((1, 1, elements))


@dataclass(frozen=True)
class Held:
    """What node ``node_id`` computes, as a tensor of the file's ``shape``.

    ``order`` says which axis of the file's tensor lies where in memory, from the outermost to the innermost; memory is
    dense. ``layout`` is how the node writes it: rows x columns x channels for images, else flat.
    """

    node_id: str
    layout: MemoryLayout
    shape: Shape
    order: tuple[int, ...]

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each axis of the file's tensor."""
        strides = [0] * len(self.shape)
        step = 1
        for axis in reversed(self.order):
            strides[axis] = step
            step *= self.shape[axis]
        return tuple(strides)

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def lies_as(self, order: Sequence[int]) -> bool:
        """Whether memory is the same in another order: axes of one element may be anywhere."""
        return [a for a in self.order if self.shape[a] != 1] == [a for a in order if self.shape[a] != 1]


def identity(shape: Sequence[int]) -> tuple[int, ...]:
    """The order of the file."""
    return tuple(range(len(shape)))


def image_order(rank: int) -> tuple[int, ...]:
    """The order of images of one (rank 3) or two (rank 4) dimensions in space: channels innermost."""
    return (0, *range(2, rank), 1)


def image_size(shape: Shape) -> Shape3:
    """Rows x columns x channels of a tensor [1, channels, columns] or [1, channels, rows, columns]."""
    return (1, shape[2], shape[1]) if len(shape) == 3 else (shape[2], shape[3], shape[1])


def is_image(shape: Shape) -> bool:
    """Whether a tensor can be held as an image: one, of one or two dimensions in space."""
    return len(shape) in (3, 4) and shape[0] == 1
