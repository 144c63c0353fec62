"""Which cells around a value are kept in memory: those that a convolution reads beyond it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from ellopt.codegen.fuse import same_reading
from ellopt.codegen.network import Border
from ellopt.errors import ModelFormatError
from ellopt.model.graph import Model
from ellopt.model.layers import Constant, Convolution, Node, Reinterpret, Reorder


def fail(model: Model, node: Node, what: str) -> NoReturn:
    """Raise ModelFormatError, naming the file and the node."""
    raise ModelFormatError(f"{model.path}: node {node.node_id} ({node.type_name}): {what}")


class Borders:
    """The borders of a model's values: for each value and fill the union over the convolutions that read it."""

    def __init__(self, model: Model, convolutions: Iterable[Convolution]) -> None:
        self._model = model
        self._by_id = model.by_id
        self._needed: dict[tuple[str, float], Border] = {}
        for node in convolutions:
            if border := self.read_by(node):
                key = (self._root(node.inputs[0]), border.fill)
                self._needed[key] = self._needed.get(key, border).union(border)

    def read_by(self, node: Convolution) -> Border:
        """The cells outside the tensor that a convolution reads, as far as its input buffer has them."""
        layout = node.input_layouts[0]
        needed = [(n - 1) * node.stride + node.receptive_field for n in node.output_layout.size[:2]]
        if needed[0] > layout.extent[0] or needed[1] > layout.extent[1]:
            size = f"{layout.extent[0]}x{layout.extent[1]}"
            fail(self._model, node, f"its windows need {needed[0]}x{needed[1]} cells, its input has {size}")
        top, left = layout.offset[:2]
        return Border(
            top,
            left,
            max(0, needed[0] - top - layout.size[0]),
            max(0, needed[1] - left - layout.size[1]),
            self.outside(node),
        )

    def around(self, node_id: str) -> Border:
        """The border to keep around a value: of the fills asked for the one that its own node gives, else any."""
        fills = [fill for root, fill in self._needed if root == node_id]
        if not fills:
            return Border()
        own = self._by_id[node_id].padding_value
        return self._needed[node_id, own if own in fills else fills[0]]

    def outside(self, node: Node) -> float:
        """What a convolution or a pooling layer finds around the tensor that it reads."""
        source = self._by_id[node.inputs[0]]
        while isinstance(source, Reinterpret) and self._passes_on(source):
            source = self._by_id[source.inputs[0]]
        layout = node.input_layouts[0]
        if layout.extent != layout.size and (
            isinstance(source, Reinterpret | Constant) or not same_reading(source.output_layout, layout)
        ):
            fail(self._model, node, f"reads the border of node {source.node_id} ({source.type_name}): not supported")
        return source.padding_value

    def _root(self, node_id: str) -> str:
        """The node whose values another one merely passes on."""
        node = self._by_id[node_id]
        while self._passes_on(node):
            node = self._by_id[node.inputs[0]]
        return node.node_id

    def _passes_on(self, node: Node) -> bool:
        if isinstance(node, Reinterpret):
            return same_reading(self._by_id[node.inputs[0]].output_layout, node.output_layout)
        if isinstance(node, Reorder):
            return same_reading(self._by_id[node.inputs[0]].output_layout, node.input_layouts[0])
        return False
