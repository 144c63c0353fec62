"""The values of a model as tensors in memory, and the copies that bring them into another form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ellopt.codegen.borders import Borders, fail
from ellopt.codegen.fuse import same_reading
from ellopt.codegen.network import Border, CopyStep, Step, Tensor
from ellopt.model.graph import Model
from ellopt.model.layers import Constant, Convolution, FloatArray, MemoryLayout, Node, Shape3


class Values:
    """Tensors by name, the tensor of each node's output, and the steps so far. Copies are added as they are needed."""

    def __init__(self, model: Model, borders: Borders) -> None:
        self._model = model
        self._by_id = model.by_id
        self._borders = borders
        self._of: dict[str, str] = {}
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, FloatArray] = {}
        self.steps: list[Step] = []

    def define(self, node: Node) -> str:
        """A new tensor for the output of ``node``."""
        name = f"v{node.node_id}"
        self._tensor(name, node.output_layout.size, self._borders.around(node.node_id))
        self._of[node.node_id] = name
        return name

    def define_input(self, node: Node) -> str:
        """The caller's array as the output of an input node, copied if a border is needed around it."""
        size = node.output_layout.size
        self.tensors["input"] = Tensor("input", "input", *size)
        if self._borders.around(node.node_id):
            name = self.define(node)
            self.steps.append(CopyStep("copy", (node.node_id,), node.type_name, ("input",), name, size=size))
        else:
            self._of[node.node_id] = "input"
        return "input"

    def define_output(self, node: Node) -> str:
        """The caller's array, filled with what an output node reads."""
        value = self.read(node)
        size = self._size(value)
        self.tensors["output"] = Tensor("output", "output", *size)
        self.steps.append(CopyStep("copy", (node.node_id,), node.type_name, (value,), "output", size=size))
        return "output"

    def define_constant(self, node: Constant) -> None:
        """A tensor among the weights, with the border it needs."""
        layout = node.output_layout
        memory = node.values.reshape([layout.extent[d] for d in layout.order])
        logical = memory.transpose(np.argsort(layout.order))
        window = tuple(slice(o, o + n) for o, n in zip(layout.offset, layout.size, strict=True))
        border = self._borders.around(node.node_id)
        name = f"v{node.node_id}"
        self.tensors[name] = Tensor(name, "weights", *layout.size, border)
        pads = ((border.top, border.bottom), (border.left, border.right), (0, 0))
        self.constants[name] = np.pad(logical[window], pads, constant_values=border.fill).astype(np.float32)
        self._of[node.node_id] = name

    def pass_on(self, node: Node, name: str) -> None:
        """Let the tensor ``name`` be the output of ``node``."""
        self._of[node.node_id] = name

    def output_of(self, node_id: str) -> str:
        """The tensor that holds a node's output."""
        return self._of[node_id]

    def read(self, node: Node, index: int = 0) -> str:
        """The tensor that input ``index`` of ``node`` reads, with the size of that input's layout."""
        return self.view(node.inputs[index], node.input_layouts[index], node)

    def view(self, source: str, layout: MemoryLayout, reader: Node) -> str:
        """The output of ``source`` as ``reader`` sees it through ``layout``."""
        written = self._by_id[source].output_layout
        if same_reading(written, layout):
            return self._of[source]
        return self._reinterpret(source, written, layout, reader)

    def read_with_border(self, node: Convolution) -> str:
        """The tensor that a convolution reads, with the border it needs; copied where it has another fill."""
        border = self._borders.read_by(node)
        name = self.read(node)
        own = self.tensors[name].border
        large_enough = own.union(replace(border, fill=own.fill)) == own
        if large_enough and (not border or border.fill == own.fill):
            return name
        size = self._size(name)
        copy = self._tensor(f"{name}_padded{len(self.steps)}", size, border)
        source = self._by_id[node.inputs[0]]
        self.steps.append(CopyStep("copy", (source.node_id,), source.type_name, (name,), copy, size=size))
        return copy

    def write_output_directly(self) -> None:
        """Let the step before the last write the caller's array, where nobody else reads its result."""
        source = self.steps[-1].inputs[0]
        readers = [step for step in self.steps if source in step.inputs]
        writers = [step for step in self.steps if step.output == source]
        if len(readers) != 1 or len(writers) != 1 or self.tensors[source].border:
            return
        self.steps[self.steps.index(writers[0])] = replace(writers[0], output="output")
        self.steps.pop()
        del self.tensors[source]

    def _reinterpret(self, source: str, written: MemoryLayout, read: MemoryLayout, reader: Node) -> str:
        """The value as it appears when memory written with one layout is read with another."""
        if written.elements != read.elements:
            what = f"reads {read.elements} elements of the {written.elements} that node {source} writes"
            fail(self._model, reader, what)
        value = self._of[source]
        ids, kind = (reader.node_id,), reader.type_name
        if _dense(written) and _dense(read):
            result = self._tensor(f"{value}_as{len(self.steps)}", read.size)
            self.steps.append(
                CopyStep("copy", ids, kind, (value,), result, size=written.size, output_strides=written.strides)
            )
            return result
        image = self._tensor(f"{value}_image{len(self.steps)}", (1, 1, written.elements))
        self.steps.append(
            CopyStep(
                "copy", ids, kind, (value,), image,
                size=written.size, output_strides=written.strides, output_offset=_first(written),
                clear=self._by_id[source].padding_value,
            )
        )  # fmt: skip
        result = self._tensor(f"{value}_as{len(self.steps)}", read.size)
        self.steps.append(
            CopyStep(
                "copy", ids, kind, (image,), result,
                size=read.size, input_strides=read.strides, input_offset=_first(read),
            )
        )  # fmt: skip
        return result

    def _tensor(self, name: str, size: Shape3, border: Border | None = None) -> str:
        self.tensors[name] = Tensor(name, "arena", *size, border or Border())
        return name

    def _size(self, name: str) -> Shape3:
        tensor = self.tensors[name]
        return (tensor.rows, tensor.columns, tensor.channels)


def _dense(layout: MemoryLayout) -> bool:
    return layout.order == (0, 1, 2) and layout.extent == layout.size


def _first(layout: MemoryLayout) -> int:
    """Elements before element (0, 0, 0)."""
    return sum(o * s for o, s in zip(layout.offset, layout.strides, strict=True))
