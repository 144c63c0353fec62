"""The graph of an ONNX file, operator by operator: what ``.ell`` models become.

Tensors are [1, channels, rows, columns]. A border is padding in front of what reads it; memory that is read otherwise
than it was written is written out, element by element, and looked at anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ellopt.files.atomic import write_bytes
from ellopt.frontends.onnx.read import OPTIONS_KEY
from ellopt.frontends.onnx.refusals import Refusals, Refused
from ellopt.frontends.onnx.write.folding import Behind, foldable, same_place
from ellopt.frontends.onnx.write.layers import WRITERS
from ellopt.model import layers
from ellopt.model.graph import Model, Port
from ellopt.model.layers import MemoryLayout, Node, Shape3

#: What is written: read by every runtime of the last years.
OPSET, IR_VERSION = 17, 8
#: What the model is said to be made by.
PRODUCER = "ellopt"


def write_model(model: Model, path: Path) -> None:
    """Write ``model`` as an ONNX file. Raises ModelFormatError with everything that has no operator; OSError."""
    write_bytes(path, to_onnx(model).SerializeToString())


def to_onnx(model: Model) -> onnx.ModelProto:
    """The model as ONNX's message. Raises as ``write_model``."""
    writer = Writer(model)
    refusals = Refusals()
    for node in model.nodes:
        try:
            writer.node(node)
        except Refused as reason:
            refusals.add(f"node {node.node_id}", f"{node.type_name} {reason}")
            writer.hold(node, "missing")
    refusals.raise_any(model.path, "cannot be written as ONNX")
    return writer.message()


class Writer:
    """The graph so far. ``values`` has what each node computes, without its border, by its id."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._values: dict[str, str] = {}
        self._made: dict[tuple[Any, ...], str] = {}
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._outputs: list[Any] = []
        self._names: set[str] = {port.name for port in (*model.input_ports, *model.output_ports)}
        self._node_names: set[str] = set()
        self._current: Node | None = None
        self._behind = foldable(model)
        #: what is part of the layer before it -> that layer
        self._folded = {node.node_id: first for first, behind in self._behind.items() for node in behind.nodes}
        #: an image -> the same as [1, elements], where there is one
        self._rows: dict[str, str] = {}
        self._inputs = [
            helper.make_tensor_value_info(port.name, TensorProto.FLOAT, list(nchw(_size(port))))
            for port in model.input_ports
        ]

    def message(self) -> onnx.ModelProto:
        read = {output.name for output in self._outputs}
        nodes = []
        for node in reversed(self._nodes):  # what nobody came to read is not written
            if not read.isdisjoint(node.output):
                read.update(node.input)
                nodes.append(node)
        weights = [tensor for tensor in self._initializers if tensor.name in read]
        graph = helper.make_graph(nodes[::-1], self.model.name, self._inputs, self._outputs, weights)
        imports = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name=PRODUCER)

    # --- the model's nodes ---

    def node(self, node: Node) -> None:
        self._current = node
        if isinstance(node, layers.Input):
            if len(self.model.input_ports) == 1:
                self.hold(node, self.model.input_ports[0].name)
        elif isinstance(node, layers.Output):
            self._end(node)
        elif isinstance(node, layers.Reinterpret):
            pass  # whoever reads it looks at the memory of what it reads
        elif isinstance(node, layers.Remap) and (name := self._input_part(node)):
            self.hold(node, name)
        elif isinstance(node, layers.Concatenation) and self._joins_outputs(node):
            pass
        elif isinstance(node, layers.Constant):
            self.hold(node, "")
        elif node.node_id in self._folded:
            self.hold(node, self._values[self._folded[node.node_id]])
        else:
            write = next((WRITERS[base] for base in type(node).__mro__ if base in WRITERS), None)
            if write is None:
                raise Refused("has no operator of ONNX")
            self.hold(node, write(self, node))

    def hold(self, node: Node, value: str) -> None:
        self._values[node.node_id] = value

    def _input_part(self, node: layers.Remap) -> str:
        """The input of the file that the node is, where there are several."""
        if len(self.model.inputs) < 2 or node.inputs != (self.model.input.node_id,):
            return ""
        whole = (node.tables[0] == np.arange(len(node.tables[0])) + node.tables[0][0]).all()
        for port in self.model.inputs:
            if whole and port.offset == node.tables[0][0] and port.elements == len(node.tables[0]):
                return port.name
        return ""

    def _joins_outputs(self, node: layers.Concatenation) -> bool:
        return len(self.model.outputs) > 1 and self.model.output.inputs == (node.node_id,)

    def _end(self, node: layers.Output) -> None:
        ports = self.model.output_ports
        if len(ports) > 1:
            joined = self.model.by_id[node.inputs[0]]
            sources = list(zip(joined.inputs, joined.input_layouts, strict=True))
        else:
            sources = [(node.inputs[0], node.input_layouts[0])]
        for port, (source, layout) in zip(ports, sources, strict=True):
            value = self.view(source, layout)
            shape: tuple[int, ...] = nchw(layout.size)
            kind, inputs = "Identity", [value]
            if shape[2:] == (1, 1):
                shape = shape[:2]
                kind, inputs = ("Identity", [row]) if (row := self.known_row(value)) else ("Flatten", [value])
            self._nodes.append(helper.make_node(kind, inputs, [port.name], name=self._name(port.name)))
            self._outputs.append(helper.make_tensor_value_info(port.name, TensorProto.FLOAT, list(shape)))

    # --- operators and constants ---

    def add(self, kind: str, inputs: Sequence[str], main: bool = False, **attributes: Any) -> str:
        """An operator with one output. ``main``: it is what the node at work is, and carries its options."""
        node = self._current
        assert node is not None
        value = self._unique(f"{node.name or node.node_id}/{kind}")
        made = helper.make_node(kind, list(inputs), [value], **attributes)
        made.name = self._name(node.name or node.node_id)
        options = self.model.options.get(node.node_id)
        if main and options is not None:
            made.metadata_props.add(key=OPTIONS_KEY, value=str(options))
        self._nodes.append(made)
        return value

    def constant(self, values: npt.ArrayLike, what: str = "weights") -> str:
        """An initializer of floats."""
        assert self._current is not None
        name = self._unique(f"{self._current.name or self._current.node_id}/{what}")
        array = np.ascontiguousarray(values, np.float32)
        self._initializers.append(numpy_helper.from_array(array.reshape(np.shape(values)), name))
        return name

    def integers(self, values: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """An initializer of whole numbers, one for all that need the same."""
        key = ("integers", tuple(int(v) for v in values))
        if key not in self._made:
            self._made[key] = self._unique("shape")
            self._initializers.append(numpy_helper.from_array(np.array(key[1], np.int64), self._made[key]))
        return self._made[key]

    def _unique(self, name: str) -> str:
        return _new_name(name, self._names)

    def _name(self, name: str) -> str:
        return _new_name(name, self._node_names)

    # --- tensors ---

    def view(self, source: str, layout: MemoryLayout, border: bool = False) -> str:
        """What node ``source`` left, seen through ``layout``: [1, channels, rows, columns]."""
        owner = self._owner(source)
        key = ("view", owner.node_id, layout, border)
        if key not in self._made:
            self._made[key] = self._view(owner, layout, border)
        return self._made[key]

    def _view(self, owner: Node, layout: MemoryLayout, border: bool) -> str:
        if isinstance(owner, layers.Constant):
            return self.constant(layout.view(owner.values, border).transpose(2, 0, 1)[None], "constant")
        if same_place(owner.output_layout, layout):
            value = self._values[owner.node_id]
            return self.padded(value, around(layout), owner.padding_value) if border else value
        flat = self._memory(owner)
        value = self.add("Reshape", [flat, self.integers([layout.extent[d] for d in layout.order])])
        axes = [layout.order.index(d) for d in (2, 0, 1)]
        value = self.add("Transpose", [value], perm=axes)
        whole = self.add("Reshape", [value, self.integers(nchw(layout.extent))])
        return whole if border else self.part(whole, layout.offset, layout.size)

    def padded(self, value: str, pads: tuple[int, ...], fill: float) -> str:
        """``value`` with (above, left, below, right, channels before, behind) cells of ``fill``."""
        if not any(pads):
            return value
        top, left, bottom, right, before, behind = pads
        places = self.integers([0, before, top, left, 0, behind, bottom, right])
        return self.add("Pad", [value, places, self.constant(np.float32(fill), "border")])

    def part(self, value: str, offset: Shape3, size: Shape3) -> str:
        """The cells from ``offset`` on, in rows, columns and channels."""
        starts = (offset[2], offset[0], offset[1])
        ends = tuple(first + n for first, n in zip(starts, (size[2], size[0], size[1]), strict=True))
        return self.add("Slice", [value, self.integers(starts), self.integers(ends), self.integers((1, 2, 3))])

    def inside(self, node: Node, index: int = 0) -> str:
        """An input of ``node``, without its border."""
        return self.view(node.inputs[index], node.input_layouts[index])

    def row(self, node: Node) -> str:
        """The input of ``node`` as [1, elements], in the order of ONNX: channels, rows, columns."""
        value = self.inside(node)
        if value not in self._rows:
            self._rows[value] = self.add("Flatten", [value], axis=1)
        return self._rows[value]

    def known_row(self, value: str) -> str:
        """The image ``value`` as [1, elements] if that is there without an operator more; else empty."""
        return self._rows.get(value, "")

    def image_of_row(self, row: str, size: Shape3) -> str:
        """A tensor [1, channels * rows * columns] as [1, channels, rows, columns]."""
        value = self.add("Reshape", [row, self.integers(nchw(size))])
        self._rows[value] = row
        return value

    def behind(self, node: Node) -> Behind | None:
        """What follows ``node`` and is to become part of it."""
        return self._behind.get(node.node_id)

    def flat(self, node: Node, index: int = 0) -> str:
        """An input of ``node`` in one dimension: rows, columns, channels."""
        value, size = self.inside(node, index), node.input_layouts[index].size
        if size[2] > 1 and size[:2] != (1, 1):
            value = self.add("Transpose", [value], perm=[0, 2, 3, 1])
        return self.add("Reshape", [value, self.integers((-1,))])

    def image(self, value: str, size: Shape3) -> str:
        """A tensor of rows, columns, channels in any form as [1, channels, rows, columns]."""
        if size[2] == 1 or size[:2] == (1, 1):
            return self.add("Reshape", [value, self.integers(nchw(size))])
        value = self.add("Reshape", [value, self.integers((1, *size))])
        return self.add("Transpose", [value], perm=[0, 3, 1, 2])

    def padding_value(self, source: str) -> float:
        return self._owner(source).padding_value

    def is_own_border(self, source: str, layout: MemoryLayout) -> bool:
        """Whether what lies around the tensor is the border that its node gave it, all of one value."""
        owner = self._owner(source)
        return not isinstance(owner, layers.Constant) and same_place(owner.output_layout, layout)

    def _owner(self, source: str) -> Node:
        node = self.model.by_id[source]
        while isinstance(node, layers.Reinterpret):
            node = self.model.by_id[node.inputs[0]]
        return node

    def _memory(self, owner: Node) -> str:
        """The whole buffer that a node leaves, as it lies."""
        key = ("memory", owner.node_id)
        if key not in self._made:
            layout = owner.output_layout
            value = self.padded(self._values[owner.node_id], around(layout), owner.padding_value)
            axes = [(2, 3, 1)[d] for d in layout.order]
            value = self.add("Transpose", [value], perm=[0, *axes])
            self._made[key] = self.add("Reshape", [value, self.integers((-1,))])
        return self._made[key]


def nchw(size: Shape3) -> tuple[int, int, int, int]:
    return (1, size[2], size[0], size[1])


def around(layout: MemoryLayout) -> tuple[int, ...]:
    """Cells of the border: above, left, below, right, channels before and behind."""
    behind = [whole - o - n for whole, o, n in zip(layout.extent, layout.offset, layout.size, strict=True)]
    return (*layout.offset[:2], *behind[:2], layout.offset[2], behind[2])


def _size(port: Port) -> Shape3:
    rows, columns, channels = port.shape
    return (rows, columns, channels)


def _new_name(name: str, taken: set[str]) -> str:
    """``name``, with a number where it is taken; it is taken from now on."""
    found, number = name, 1
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
