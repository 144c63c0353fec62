"""Makes the nodes of a Model, one after the other, and remembers what holds which tensor of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.files.terminal import printable
from ellopt.frontends.onnx.fold import Graph, Operator, Shape
from ellopt.frontends.onnx.held import Held, flat, identity, image_order, image_size, is_image, packed
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import OUTSIDE, FloatArray, MemoryLayout, Node, Remap

IntArray = npt.NDArray[np.int64]


class Builder:
    """``nodes`` so far. Nodes are called by the place of their operator in the file; those that help it have a number
    behind that."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self._held: dict[str, Held] = {}
        #: what was brought into another order of memory once is not again
        self._arranged: dict[tuple[Held, tuple[int, ...], MemoryLayout], Held] = {}
        self._operator: Operator | None = None
        self._helpers = 0
        #: zeros around an image that are not computed yet: a convolution takes them as its own
        self.padded: dict[str, tuple[str, tuple[int, int, int, int]]] = {}

    # --- tensors of the file ---

    def begin(self, operator: Operator) -> None:
        """What is made from now on belongs to ``operator``."""
        self._operator, self._helpers = operator, 0

    def shape(self, name: str) -> Shape:
        return self.graph.shapes[name]

    def kind(self, name: str) -> int:
        """The type of its elements in the file, a TensorProto.DataType."""
        return self.graph.kinds[name]

    @property
    def largest_place(self) -> int:
        """No place that the model computes is larger."""
        shapes = [self.shape(o.inputs[0]) for o in self.graph.operators if o.kind in ("ArgMax", "ArgMin")]
        return max((max(shape, default=1) for shape in shapes), default=0)

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The values of a tensor that is constant."""
        return self.graph.constants.get(name)

    def floats(self, name: str, what: str) -> FloatArray:
        """The values of a constant of floats. Raises Refused if it is computed."""
        values = self.constant(name)
        if values is None:
            raise Refused(f"{what} that are computed are not supported, only constant ones")
        return np.asarray(values, np.float32)

    def integers(self, name: str, what: str) -> list[int]:
        values = self.constant(name)
        if values is None:
            raise Refused(f"{what} that are computed from the input are not supported, only constant ones")
        return [int(value) for value in np.asarray(values).reshape(-1)]

    def held(self, name: str) -> Held:
        """What holds a tensor; a constant becomes a node."""
        if name in self.padded:
            source, (top, left, bottom, right) = self.padded.pop(name)
            held = self.image(self.held(source))
            rows, columns = held.shape[-2] if len(held.shape) == 4 else 1, held.shape[-1]
            chosen = {len(held.shape) - 1: _around(columns, left, right)}
            if len(held.shape) == 4:
                chosen[2] = _around(rows, top, bottom)
            self._held[name] = self.select(held, chosen)
        if name not in self._held:
            self._held[name] = self.constant_node(self.floats(name, "tensors"))
        return self._held[name]

    def hold(self, name: str, held: Held) -> None:
        """Say what holds an output of the operator at work."""
        if held.shape != self.shape(name):
            raise Refused(f"gives the shape {list(held.shape)} where {list(self.shape(name))} belongs")
        if 0 in held.shape:
            raise Refused(f"tensors without elements are not supported; here the shape is {list(held.shape)}")
        self._held[name] = held

    def stand_in(self, name: str) -> None:
        """Let something of the right shape hold a tensor that is not supported, so that what reads it can be looked
        at. Such a model is not used."""
        elements = int(np.prod(self.shape(name), dtype=np.int64))
        self._held[name] = Held("", flat(elements), self.shape(name), identity(self.shape(name)))

    # --- nodes ---

    def new_id(self) -> str:
        """The id of a node that helps the operator at work."""
        assert self._operator is not None
        self._helpers += 1
        return f"{self._operator.place}.{self._helpers}"

    def _main_id(self) -> str:
        assert self._operator is not None
        own = self._operator.place
        return self.new_id() if any(node.node_id == own for node in self.nodes[-8:]) else own

    def common(
        self, inputs: Sequence[Held], layout: MemoryLayout, main: bool = False, kind: str = ""
    ) -> Mapping[str, Any]:
        """The arguments that every node takes. ``main``: it is the operator's own, and is called by its place."""
        operator = self._operator
        assert operator is not None
        return {
            "node_id": self._main_id() if main else self.new_id(),
            "type_name": kind or operator.kind,
            "inputs": tuple(held.node_id for held in inputs),
            "input_layouts": tuple(held.layout for held in inputs),
            "output_layout": layout,
            "name": printable(operator.name),
        }

    def add(self, node: Node, shape: Shape, order: Sequence[int]) -> Held:
        self.nodes.append(node)
        return Held(node.node_id, node.output_layout, shape, tuple(order))

    def like(self, node: Node, held: Held) -> Held:
        """A node that works element by element on ``held``."""
        return self.add(node, held.shape, held.order)

    def constant_node(self, values: FloatArray) -> Held:
        layout = flat(values.size)
        data = np.ascontiguousarray(values, np.float32)
        node = layers.Constant(**self.common((), layout, kind="Constant"), values=data.reshape(-1))
        return self.add(node, data.shape, identity(data.shape))

    # --- the same values, elsewhere in memory ---

    def arranged(self, held: Held, order: Sequence[int], layout: MemoryLayout | None = None) -> Held:
        """The same tensor in another order of memory, written as ``layout`` (flat); itself where it is so."""
        layout = layout or (held.layout if held.lies_as(order) else flat(held.elements))
        if held.lies_as(order) and held.layout == layout:
            return replace(held, order=tuple(order))
        key = (held, tuple(order), layout)
        if key not in self._arranged:
            tables = tuple(np.arange(held.shape[a], dtype=np.int64) * held.strides[a] for a in order)
            node = Remap(**self.common((held,), layout, kind="Transpose"), tables=tables or (np.zeros(1, np.int64),))
            self._arranged[key] = self.add(node, held.shape, order)
        return self._arranged[key]

    def dense(self, held: Held) -> Held:
        """The same tensor in the order of the file."""
        return self.arranged(held, identity(held.shape))

    def image(self, held: Held) -> Held:
        """The same tensor as rows x columns x channels. Raises Refused if it is no image."""
        shape = held.shape
        if len(shape) not in (3, 4):
            raise Refused(f"a tensor of rank {len(shape)} where only one or two dimensions in space are supported")
        if shape[0] != 1:
            raise Refused(f"a batch of {shape[0]} is not supported, only of 1; give an --input_shape")
        return self.arranged(held, image_order(len(shape)), packed(image_size(shape)))

    def select(self, held: Held, chosen: Mapping[int, IntArray], fill: float = 0.0) -> Held:
        """Along each axis of ``chosen`` the elements of these numbers; OUTSIDE is ``fill``. ``held`` itself where these
        are all in their order."""
        if all(np.array_equal(numbers, np.arange(held.shape[a])) for a, numbers in chosen.items()):
            return held
        shape = tuple(len(chosen[a]) if a in chosen else n for a, n in enumerate(held.shape))
        strides = held.strides
        tables = []
        for axis in held.order:
            numbers = chosen.get(axis, np.arange(held.shape[axis], dtype=np.int64))
            tables.append(np.where(numbers == OUTSIDE, OUTSIDE, numbers * strides[axis]))
        layout = self.layout_for(held, shape)
        common = self.common((held,), layout)
        return self.add(Remap(**common, tables=tuple(tables) or (np.zeros(1, np.int64),), fill=fill), shape, held.order)

    def part(self, whole: Held, offset: int, shape: Shape) -> Held:
        """A tensor of ``shape`` that begins at an offset of a flat one."""
        layout = flat(int(np.prod(shape, dtype=np.int64)))
        table = np.arange(offset, offset + layout.size[2], dtype=np.int64)
        return self.add(Remap(**self.common((whole,), layout), tables=(table,)), shape, identity(shape))

    def layout_for(self, held: Held, shape: Shape) -> MemoryLayout:
        """How a tensor of ``shape`` in the order of ``held`` is written: an image stays one."""
        if is_image(shape) and held.order == image_order(len(shape)):
            return packed(image_size(shape))
        return flat(int(np.prod(shape, dtype=np.int64)))

    def transpose(self, held: Held, axes: Sequence[int]) -> Held:
        """Axis k of the result is axis ``axes[k]``: nothing moves."""
        place = {axis: k for k, axis in enumerate(axes)}
        shape = tuple(held.shape[axis] for axis in axes)
        return replace(held, shape=shape, order=tuple(place[axis] for axis in held.order))

    def reshape(self, held: Held, shape: Shape) -> Held:
        """The same elements, in the order of the file, as a tensor of another shape. Nothing moves where an axis is
        split, or where axes that follow each other in memory are joined."""
        if 0 in shape or 0 in held.shape:
            raise Refused("tensors without elements are not supported")
        if prod(shape) != held.elements:
            raise ValueError(f"{list(held.shape)} cannot be reshaped to {list(shape)}")
        groups = sorted(_groups(held.shape, shape), key=lambda group: min(map(held.order.index, group[0]), default=0))
        small, new_small = ([a for a, n in enumerate(sizes) if n == 1] for sizes in (held.shape, shape))
        order = (*small, *(axis for old, _ in groups for axis in old))
        new_order = (*new_small, *(axis for _, new in groups for axis in new))
        if not held.lies_as(order):
            held = self.arranged(held, order, _layout(shape, new_order))
        return Held(held.node_id, held.layout, shape, new_order)


def _layout(shape: Shape, order: Sequence[int]) -> MemoryLayout:
    """How a tensor that is put into ``order`` is written: as an image where that is its order."""
    whole = Held("", flat(1), shape, tuple(order))
    if is_image(shape) and whole.lies_as(image_order(len(shape))):
        return packed(image_size(shape))
    return flat(whole.elements)


def _around(count: int, before: int, behind: int) -> IntArray:
    outside = [np.full(n, OUTSIDE, np.int64) for n in (before, behind)]
    return np.concatenate([outside[0], np.arange(count, dtype=np.int64), outside[1]])


def _groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """The smallest groups of axes with as many elements in both shapes, axes of one element left out."""
    groups = []
    olds, news = ([a for a, n in enumerate(shape) if n != 1] for shape in (old, new))
    i = j = 0
    while i < len(olds):
        first, second = [olds[i]], [news[j]]
        left, right = old[olds[i]], new[news[j]]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                first.append(olds[i])
                left *= old[olds[i]]
                i += 1
            else:
                second.append(news[j])
                right *= new[news[j]]
                j += 1
        groups.append((first, second))
    return groups
