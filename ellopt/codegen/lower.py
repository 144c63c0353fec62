"""From a model to the steps that compute it.

Every value is kept with its channels innermost, whatever order its layout has in the file: an order only shows
where memory is read with another layout than it was written with, and there a copy makes the very bytes. Borders are
kept where a convolution reads them; pooling clips its windows instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import numpy as np

from ellopt.codegen.arena import plan_arena
from ellopt.codegen.fold import fold
from ellopt.codegen.fuse import Group, fuse, same_reading
from ellopt.codegen.network import (
    BinaryStep,
    Border,
    ConvolutionStep,
    CopyStep,
    ElementwiseStep,
    FullyConnectedStep,
    Network,
    PoolingStep,
    Step,
    Tensor,
)
from ellopt.errors import ModelFormatError
from ellopt.model.graph import Model
from ellopt.model.layers import (
    Activation,
    BatchNormalization,
    Bias,
    BinaryOperation,
    Constant,
    Convolution,
    FloatArray,
    FullyConnected,
    Input,
    MemoryLayout,
    Node,
    Output,
    Pooling,
    Reinterpret,
    Reorder,
    Scaling,
    Softmax,
)
from ellopt.shapes import ConvolutionShape

BINARY_OPERATIONS = ("add", "subtract", "coordinatewiseMultiply", "divide")


def lower(model: Model) -> Network:
    """The network of ``model``. Raises ModelFormatError, naming file and node, for what cannot be computed."""
    return _Lowering(model).network()


class _Lowering:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._by_id = model.by_id
        self._groups = fuse(model)
        self._value_of: dict[str, str] = {}  # node id -> name of the tensor that holds its output
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, FloatArray] = {}
        self._steps: list[Step] = []
        self._borders: dict[tuple[str, float], Border] = {}
        self._input = self._output = ""

    def network(self) -> Network:
        self._collect_borders()
        for group in self._groups:
            self._lower(group)
        if not self._input or not self._output:
            raise ModelFormatError(f"{self._model.path}: the model has no input or no output node")
        self._place_output()
        steps, tensors, floats = plan_arena(self._steps, self._tensors)
        return Network(tuple(steps), tensors, self._constants, self._input, self._output, floats)

    # --- borders -------------------------------------------------------------------------------------------------

    def _collect_borders(self) -> None:
        """The border that each value needs, by fill: the union over the convolutions that read it."""
        for group in self._groups:
            node = group.first
            if isinstance(node, Convolution) and (border := self._read_border(node)):
                key = (self._root(node.inputs[0]), border.fill)
                self._borders[key] = self._borders.get(key, border).union(border)

    def _read_border(self, node: Convolution) -> Border:
        """The cells outside the tensor that a convolution reads, as far as its input buffer has them."""
        layout = node.input_layouts[0]
        needed = [(n - 1) * node.stride + node.receptive_field for n in node.output_layout.size[:2]]
        if needed[0] > layout.extent[0] or needed[1] > layout.extent[1]:
            self._fail(node, f"its windows need {needed[0]}x{needed[1]} cells, its input has {layout.extent[:2]}")
        top, left = layout.offset[:2]
        return Border(
            top,
            left,
            max(0, needed[0] - top - layout.size[0]),
            max(0, needed[1] - left - layout.size[1]),
            self._outside(node),
        )

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

    def _outside(self, node: Node) -> float:
        """What a convolution or a pooling layer finds around the tensor that it reads."""
        source = self._by_id[node.inputs[0]]
        while isinstance(source, Reinterpret) and self._passes_on(source):
            source = self._by_id[source.inputs[0]]
        layout = node.input_layouts[0]
        if layout.extent != layout.size and (
            isinstance(source, Reinterpret | Constant) or not same_reading(source.output_layout, layout)
        ):
            self._fail(node, f"reads the border of node {source.node_id} ({source.type_name}): not supported")
        return source.padding_value

    def _border_of(self, node_id: str) -> Border:
        """The border to keep around a value: of the fills asked for the one that its own node gives, else any."""
        fills = [fill for root, fill in self._borders if root == node_id]
        if not fills:
            return Border()
        own = self._by_id[node_id].padding_value
        return self._borders[node_id, own if own in fills else fills[0]]

    # --- values --------------------------------------------------------------------------------------------------

    def _tensor(self, name: str, size: tuple[int, int, int], border: Border = Border()) -> Tensor:  # noqa: B008
        tensor = Tensor(name, "arena", *size, border)
        self._tensors[name] = tensor
        return tensor

    def _define(self, node: Node) -> str:
        """The tensor that the step of ``node`` writes."""
        name = f"v{node.node_id}"
        self._tensor(name, node.output_layout.size, self._border_of(node.node_id))
        self._value_of[node.node_id] = name
        return name

    def _read(self, node: Node, index: int = 0) -> str:
        """The tensor that input ``index`` of ``node`` reads, with the size of that input's layout."""
        return self._view(node.inputs[index], node.input_layouts[index], node)

    def _view(self, source: str, layout: MemoryLayout, reader: Node) -> str:
        written = self._by_id[source].output_layout
        if same_reading(written, layout):
            return self._value_of[source]
        return self._reinterpret(source, written, layout, reader)

    def _reinterpret(self, source: str, written: MemoryLayout, read: MemoryLayout, reader: Node) -> str:
        """The value as it appears when memory written with one layout is read with another."""
        if written.elements != read.elements:
            self._fail(reader, f"reads {read.elements} elements of {written.elements} that node {source} writes")
        value = self._value_of[source]
        if _dense(written) and _dense(read):
            image = value
        else:
            image = self._tensor(f"{value}_image{len(self._steps)}", (1, 1, written.elements)).name
            self._steps.append(
                CopyStep(
                    "copy", (source,), "ReinterpretLayoutNode", (value,), image,
                    size=written.size, output_strides=written.strides, output_offset=_first(written),
                    clear=self._by_id[source].padding_value,
                )
            )  # fmt: skip
        result = self._tensor(f"{value}_as{len(self._steps)}", read.size).name
        if image == value:
            self._steps.append(
                CopyStep(
                    "copy", (reader.node_id,), "ReinterpretLayoutNode", (image,), result,
                    size=written.size, output_strides=written.strides,
                )
            )  # fmt: skip
        else:
            self._steps.append(
                CopyStep(
                    "copy", (reader.node_id,), "ReinterpretLayoutNode", (image,), result,
                    size=read.size, input_strides=read.strides, input_offset=_first(read),
                )
            )  # fmt: skip
        return result

    def _with_border(self, node: Convolution) -> str:
        """The tensor that a convolution reads, with the border it needs; copied where it has another fill."""
        border = self._read_border(node)
        name = self._read(node)
        tensor = self._tensors[name]
        if tensor.border.union(replace(border, fill=tensor.border.fill)) == tensor.border and (
            not border or border.fill == tensor.border.fill
        ):
            return name
        copy = f"{name}_pad{border.top}_{border.left}_{border.bottom}_{border.right}_{len(self._steps)}"
        size = (tensor.rows, tensor.columns, tensor.channels)
        self._tensor(copy, size, border)
        self._steps.append(CopyStep("copy", (node.inputs[0],), self._type(node.inputs[0]), (name,), copy, size=size))
        return copy

    # --- steps ---------------------------------------------------------------------------------------------------

    def _lower(self, group: Group) -> None:
        lowerings: dict[type[Node], Callable[[Group], None]] = {
            Input: self._lower_input,
            Output: self._lower_output,
            Constant: self._lower_constant,
            Reorder: self._lower_reorder,
            Reinterpret: self._lower_reinterpret,
            Convolution: self._lower_convolution,
            FullyConnected: self._lower_fully_connected,
            Bias: self._lower_elementwise,
            Scaling: self._lower_elementwise,
            BatchNormalization: self._lower_elementwise,
            Activation: self._lower_elementwise,
            Pooling: self._lower_pooling,
            Softmax: self._lower_softmax,
            BinaryOperation: self._lower_binary,
        }
        lowering = lowerings.get(type(group.first))
        if lowering is None:
            self._fail(group.first, "the native toolchain cannot compute it")
        lowering(group)

    def _lower_input(self, group: Group) -> None:
        node = group.first
        if self._input:
            self._fail(node, "a model with more than one input is not supported")
        size = node.output_layout.size
        self._input = "input"
        self._tensors["input"] = Tensor("input", "input", *size)
        if self._border_of(node.node_id):
            name = self._define(node)
            self._steps.append(CopyStep("copy", (node.node_id,), node.type_name, ("input",), name, size=size))
        else:
            self._value_of[node.node_id] = "input"

    def _lower_output(self, group: Group) -> None:
        node = group.first
        if self._output:
            self._fail(node, "a model with more than one output is not supported")
        value = self._read(node)
        tensor = self._tensors[value]
        self._output = "output"
        self._tensors["output"] = Tensor("output", "output", tensor.rows, tensor.columns, tensor.channels)
        size = (tensor.rows, tensor.columns, tensor.channels)
        self._steps.append(CopyStep("copy", (node.node_id,), node.type_name, (value,), "output", size=size))

    def _place_output(self) -> None:
        """Let the last step write the caller's array itself, where nobody else reads its result."""
        copy = self._steps[-1]
        source = copy.inputs[0]
        readers = [step for step in self._steps if source in step.inputs]
        writers = [step for step in self._steps if step.output == source]
        if len(readers) != 1 or len(writers) != 1 or self._tensors[source].border:
            return
        index = self._steps.index(writers[0])
        self._steps[index] = replace(writers[0], output="output")
        self._steps.pop()
        del self._tensors[source]

    def _lower_constant(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, Constant)
        layout = node.output_layout
        memory = node.values.reshape([layout.extent[d] for d in layout.order])
        logical = memory.transpose(np.argsort(layout.order))
        window = tuple(slice(o, o + n) for o, n in zip(layout.offset, layout.size, strict=True))
        border = self._border_of(node.node_id)
        name = f"v{node.node_id}"
        self._tensors[name] = Tensor(name, "weights", *layout.size, border)
        pads = ((border.top, border.bottom), (border.left, border.right), (0, 0))
        self._constants[name] = np.pad(logical[window], pads, constant_values=border.fill).astype(np.float32)
        self._value_of[node.node_id] = name

    def _lower_reorder(self, group: Group) -> None:
        node = group.first
        if self._passes_on(node):
            self._value_of[node.node_id] = self._value_of[node.inputs[0]]
            return
        if node.input_layouts[0].size != node.output_layout.size:
            self._fail(node, f"cannot reorder {node.input_layouts[0].size} into {node.output_layout.size}")
        self._value_of[node.node_id] = self._read(node)

    def _lower_reinterpret(self, group: Group) -> None:
        node = group.first
        source = self._by_id[node.inputs[0]]
        self._value_of[node.node_id] = self._view(source.node_id, node.output_layout, node)

    def _lower_convolution(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, Convolution)
        layout, size = node.input_layouts[0], node.output_layout.size
        filters, channels = node.weights.shape[0], layout.size[2]
        if layout.extent[2] != channels or filters != size[2]:
            self._fail(node, "padding along the channels is not supported")
        affine = fold(group.nodes[1:], filters)
        activation, leaky = _activation(group.nodes)
        inputs = [self._with_border(node)]
        if group.residual is not None:
            inputs.append(self._value_of[group.residual])
        output = self._define(group.last)
        self._steps.append(
            ConvolutionStep(
                "convolution",
                tuple(n.node_id for n in group.nodes),
                node.type_name,
                tuple(inputs),
                output,
                activation,
                leaky,
                shape=ConvolutionShape(
                    layout.size[0], layout.size[1], channels, filters, node.receptive_field, node.stride,
                    layout.offset[0], node.depthwise, size[0], size[1], _epilogue(group, activation),
                ),
                border=self._read_border(node),
                name=node.name,
                weights=affine.scaled(node.weights),
                bias=affine.shift,
            )
        )  # fmt: skip

    def _lower_fully_connected(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, FullyConnected)
        source = self._read(node)
        affine = fold(group.nodes[1:], node.output_layout.size[2])
        activation, leaky = _activation(group.nodes)
        self._steps.append(
            FullyConnectedStep(
                "fully_connected",
                tuple(n.node_id for n in group.nodes),
                node.type_name,
                (source,),
                self._define(group.last),
                activation,
                leaky,
                weights=affine.scaled(node.weights),
                bias=affine.shift,
            )
        )

    def _lower_elementwise(self, group: Group) -> None:
        node = group.first
        source = self._read(node)
        channels = node.output_layout.size[2]
        affine = fold(group.nodes, channels)
        activation, leaky = _activation(group.nodes)
        last = group.last
        alpha = last.alpha if isinstance(last, Activation) else None
        has_affine = not isinstance(node, Activation)
        self._steps.append(
            ElementwiseStep(
                "elementwise",
                tuple(n.node_id for n in group.nodes),
                node.type_name,
                (source,),
                self._define(last),
                activation,
                leaky,
                scale=affine.scale if has_affine else None,
                shift=affine.shift if has_affine else None,
                alpha=alpha,
            )
        )

    def _lower_pooling(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, Pooling)
        if node.function not in ("max", "mean"):
            self._fail(node, f"unknown pooling {node.function!r}")
        layout = node.input_layouts[0]
        top, left = layout.offset[:2]
        bottom, right = (layout.extent[d] - layout.offset[d] - layout.size[d] for d in (0, 1))
        outside = self._outside(node)
        self._steps.append(
            PoolingStep(
                "pooling",
                (node.node_id,),
                node.type_name,
                (self._read(node),),
                self._define(node),
                function="max" if node.function == "max" else "mean",
                size=node.pooling_size,
                stride=node.stride,
                padding=Border(top, left, bottom, right, outside),
                ignore_outside=node.function == "max" and outside <= -3e38,
            )
        )

    def _lower_softmax(self, group: Group) -> None:
        node = group.first
        source = self._read(node)
        self._steps.append(Step("softmax", (node.node_id,), node.type_name, (source,), self._define(node)))

    def _lower_binary(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, BinaryOperation)
        if node.operation not in BINARY_OPERATIONS:
            self._fail(node, f"unknown operation {node.operation!r}; known: {', '.join(BINARY_OPERATIONS)}")
        if any(layout.size != node.output_layout.size for layout in node.input_layouts):
            self._fail(node, "its operands differ in size")
        sources = (self._read(node, 0), self._read(node, 1))
        activation, leaky = _activation(group.nodes)
        self._steps.append(
            BinaryStep(
                "binary",
                tuple(n.node_id for n in group.nodes),
                node.type_name,
                sources,
                self._define(group.last),
                activation,
                leaky,
                operation=node.operation,
            )
        )

    def _type(self, node_id: str) -> str:
        return self._by_id[node_id].type_name

    def _fail(self, node: Node, what: str) -> NoReturn:
        raise ModelFormatError(f"{self._model.path}: node {node.node_id} ({node.type_name}): {what}")


def _activation(nodes: tuple[Node, ...]) -> tuple[str, float]:
    last = nodes[-1]
    return (last.function, last.leaky_factor) if isinstance(last, Activation) else ("none", 0.0)


def _epilogue(group: Group, activation: str) -> str:
    affine = any(isinstance(node, Bias | Scaling | BatchNormalization) for node in group.nodes)
    parts = ["bias"] if affine else []
    if group.residual is not None:
        parts.append("residual")
    if activation != "none":
        parts.append(activation)
    return " ".join(parts)


def _dense(layout: MemoryLayout) -> bool:
    return layout.order == (0, 1, 2) and layout.extent == layout.size


def _first(layout: MemoryLayout) -> int:
    return sum(o * s for o, s in zip(layout.offset, layout.strides, strict=True))
