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
        self._seen: dict[tuple[str, MemoryLayout], str] = {}
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, FloatArray] = {}
        self.steps: list[Step] = []
        self.input_name = self.output_name = ""

    def define(self, node: Node) -> str:
        """A new tensor for the output of ``node``."""
        name = f"v{node.node_id}"
        self._tensor(name, node.output_layout.size, self._borders.around(node.node_id))
        self._of[node.node_id] = name
        return name

    def define_input(self, node: Node) -> None:
        """The caller's array as the output of an input node: without the border that may be needed around it."""
        self.tensors["input"] = Tensor("input", "input", *node.output_layout.size)
        self.input_name = self._of[node.node_id] = "input"

    def define_output(self, node: Node) -> None:
        """The caller's array, filled with what an output node reads."""
        value = self.read(node)
        size = self._size(value)
        self.tensors["output"] = Tensor("output", "output", *size)
        self.output_name = "output"
        self.steps.append(CopyStep((node.node_id,), node.type_name, (value,), "output", size=size))

    def define_constant(self, node: Constant) -> None:
        """A tensor among the weights, with the border it needs."""
        border = self._borders.around(node.node_id)
        self._of[node.node_id] = self._constant(f"v{node.node_id}", node, node.output_layout, border)

    def pass_on(self, node: Node, name: str) -> None:
        """Let the tensor ``name`` be the output of ``node``."""
        self._of[node.node_id] = name

    def read(self, node: Node, index: int = 0) -> str:
        """The tensor that input ``index`` of ``node`` reads, with the size of that input's layout."""
        return self.view(node.inputs[index], node.input_layouts[index], node)

    def view(self, source: str, layout: MemoryLayout, reader: Node) -> str:
        """The output of ``source`` as ``reader`` sees it through ``layout``."""
        owner = self._borders.owner(source)
        if same_reading(owner.output_layout, layout):
            return self._of[owner.node_id]
        key = (owner.node_id, layout)
        if key not in self._seen:
            self._seen[key] = self._reinterpret(owner, layout, reader)
        return self._seen[key]

    def read_whole(self, node: Node) -> str:
        """The buffer that ``node`` reads as a tensor of its own: the border's cells are inside."""
        layout = node.input_layouts[0]
        return self.view(node.inputs[0], replace(layout, size=layout.extent, offset=(0, 0, 0)), node)

    def read_with_border(self, node: Convolution) -> tuple[str, bool]:
        """The tensor that a convolution reads, and whether it lacks the border that is read with it."""
        if not self._borders.reads_own_border(node):
            return self.read_whole(node), False
        border = self._borders.read_by(node)
        name = self.read(node)
        own = self.tensors[name].border
        large_enough = own.union(replace(border, fill=own.fill)) == own
        return name, not large_enough or (bool(border) and border.fill != own.fill)

    def write_output_directly(self) -> None:
        """Let the step that computes the output write the caller's array, where nobody else reads its result."""
        copy = next(step for step in self.steps if step.output == "output")
        source = copy.inputs[0]
        readers = [step for step in self.steps if source in step.inputs]
        writers = [step for step in self.steps if step.output == source]
        if len(readers) != 1 or len(writers) != 1 or self.tensors[source].border:
            return
        self.steps[self.steps.index(writers[0])] = replace(writers[0], output="output")
        self.steps.remove(copy)
        del self.tensors[source]

    def _reinterpret(self, source: Node, read: MemoryLayout, reader: Node) -> str:
        """The value as it appears when memory written with one layout is read with another."""
        written, value = source.output_layout, self._of[source.node_id]
        if written.elements != read.elements:
            what = f"reads {read.elements} elements of the {written.elements} that node {source.node_id} writes"
            fail(self._model, reader, what)
        if isinstance(source, Constant):
            return self._constant(f"{value}_as{len(self.tensors)}", source, read, Border())
        ids, kind = (reader.node_id,), reader.type_name
        if _dense(written) and _dense(read):
            result = self._tensor(f"{value}_as{len(self.steps)}", read.size)
            self.steps.append(CopyStep(ids, kind, (value,), result, size=written.size, output_strides=written.strides))
            return result
        image = self._tensor(f"{value}_image{len(self.steps)}", (1, 1, written.elements))
        self.steps.append(
            CopyStep(
                ids, kind, (value,), image,
                size=written.size, output_strides=written.strides, output_offset=_first(written),
                clear=source.padding_value,
            )
        )  # fmt: skip
        result = self._tensor(f"{value}_as{len(self.steps)}", read.size)
        self.steps.append(
            CopyStep(
                ids, kind, (image,), result,
                size=read.size, input_strides=read.strides, input_offset=_first(read),
            )
        )  # fmt: skip
        return result

    def _constant(self, name: str, node: Constant, read: MemoryLayout, border: Border) -> str:
        self.tensors[name] = Tensor(name, "weights", *read.size, border)
        pads = ((border.top, border.bottom), (border.left, border.right), (0, 0))
        inside = read.view(node.values)
        self.constants[name] = np.pad(inside, pads, constant_values=border.fill).astype(np.float32)
        return name

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
