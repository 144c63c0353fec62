"""Which cells around a value are kept in memory: those that a convolution reads beyond it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from ellopt.codegen.fuse import same_reading
from ellopt.codegen.network import Border
from ellopt.core.errors import ModelFormatError
from ellopt.model.graph import Model
from ellopt.model.layers import (
    Constant,
    Convolution,
    General,
    Node,
    Output,
    Reinterpret,
    Remap,
    Reorder,
    WindowPooling,
)


def fail(model: Model, node: Node, what: str) -> NoReturn:
    """Raise ModelFormatError, naming the file and the node."""
    raise ModelFormatError(f"{model.path}: node {node.node_id} ({node.type_name}): {what}")


def _written_densely(node: General) -> tuple[str, ...]:
    """The node, unless its rows may lie at any distance."""
    return () if isinstance(node, Remap) and node.row_axis is not None else (node.node_id,)


class Borders:
    """The borders of a model's values: for each value and fill the union over the convolutions that read it."""

    def __init__(self, model: Model, convolutions: Iterable[Convolution]) -> None:
        self._by_id = model.by_id
        self._dense = {
            name
            for node in model.nodes
            if isinstance(node, General) and not isinstance(node, WindowPooling)
            for name in (*_written_densely(node), *(self._root(source) for source in node.inputs))
        }
        self._needed: dict[tuple[str, float], Border] = {}
        for node in convolutions:
            if border := self.read_by(node):
                key = (self._root(node.inputs[0]), border.fill)
                self._needed[key] = self._needed.get(key, border).union(border)

    def owner(self, node_id: str) -> Node:
        """The node that wrote the memory which ``node_id`` stands for: some nodes only give it another layout."""
        node = self._by_id[node_id]
        while isinstance(node, Reinterpret | Output):
            node = self._by_id[node.inputs[0]]
        return node

    def reads_own_border(self, node: Node) -> bool:
        """Whether what lies around the tensor that ``node`` reads is the border that its source has, all of one value.

        Else its cells may hold anything, such as values that were read with another layout before.
        """
        layout, owner = node.input_layouts[0], self.owner(node.inputs[0])
        if layout.extent == layout.size:
            return True
        return not isinstance(owner, Constant) and same_reading(owner.output_layout, layout)

    def read_by(self, node: Convolution) -> Border:
        """The cells outside the tensor that a convolution reads, as far as its input buffer has them.

        None if the border is no tensor's own: then the convolution reads the whole buffer as a tensor.
        """
        if not self.reads_own_border(node):
            return Border()
        layout = node.input_layouts[0]
        needed = [
            (n - 1) * stride + extent
            for n, stride, extent in zip(node.output_layout.size[:2], node.strides, node.extent, strict=True)
        ]
        top, left = layout.offset[:2]
        return Border(
            top,
            left,
            max(0, needed[0] - top - layout.size[0]),
            max(0, needed[1] - left - layout.size[1]),
            self.owner(node.inputs[0]).padding_value,
        )

    def around(self, node_id: str) -> Border:
        """The border to keep around a value: none where it is read or written as dense memory; of the fills asked for
        the one that its own node gives, else any."""
        if node_id in self._dense:
            return Border()
        fills = [fill for root, fill in self._needed if root == node_id]
        if not fills:
            return Border()
        own = self._by_id[node_id].padding_value
        return self._needed[node_id, own if own in fills else fills[0]]

    def _root(self, node_id: str) -> str:
        """The node whose values another one merely passes on."""
        node = self.owner(node_id)
        while isinstance(node, Reorder):
            source = self.owner(node.inputs[0])
            if not same_reading(source.output_layout, node.input_layouts[0]):
                break
            node = source
        return node.node_id
