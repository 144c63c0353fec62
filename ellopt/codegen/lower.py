"""From a model to the steps that compute it.

Every value is kept with its channels innermost, whatever order its layout has in the file: an order only shows
where memory is read with another layout than it was written with, and there a copy makes the very bytes. Borders are
kept where a convolution reads them; pooling clips its windows instead.
"""

from __future__ import annotations

from collections.abc import Callable

from ellopt.codegen.arena import plan_arena
from ellopt.codegen.borders import Borders, fail
from ellopt.codegen.dataflow import check_memory, check_steps
from ellopt.codegen.fold import fold
from ellopt.codegen.fuse import Group, fuse
from ellopt.codegen.network import (
    BinaryStep,
    Border,
    ConvolutionStep,
    ElementwiseStep,
    FullyConnectedStep,
    Network,
    PoolingStep,
    Step,
)
from ellopt.codegen.values import Values
from ellopt.core.errors import ModelFormatError
from ellopt.core.shapes import ConvolutionShape
from ellopt.model.graph import Model
from ellopt.model.layers import (
    Activation,
    BinaryOperation,
    Constant,
    Convolution,
    FullyConnected,
    Input,
    Node,
    Output,
    PerChannel,
    Pooling,
    Reinterpret,
    Reorder,
    Softmax,
)

BINARY_OPERATIONS = ("add", "subtract", "coordinatewiseMultiply", "divide")


def lower(model: Model) -> Network:
    """The network of ``model``. Raises ModelFormatError, naming file and node, for what cannot be computed."""
    return _Lowering(model).network()


class _Lowering:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._groups = fuse(model)
        self._borders = Borders(model, model.convolutions)
        self._values = Values(model, self._borders)
        self._input = self._output = ""

    def network(self) -> Network:
        for group in self._groups:
            self._lower(group)
        if not self._input or not self._output:
            raise ModelFormatError(f"{self._model.path}: the model has no input or no output node")
        self._values.write_output_directly()
        check_steps(self._values.steps, self._values.tensors)
        steps, tensors, floats = plan_arena(self._values.steps, self._values.tensors)
        network = Network(tuple(steps), tensors, self._values.constants, self._input, self._output, floats)
        check_memory(network)
        return network

    def _lower(self, group: Group) -> None:
        lowerings: dict[type[Node], Callable[[Group], None]] = {
            Input: self._lower_input,
            Output: self._lower_output,
            Constant: self._lower_constant,
            Reorder: self._lower_reorder,
            Reinterpret: self._lower_reinterpret,
            Convolution: self._lower_convolution,
            FullyConnected: self._lower_fully_connected,
            Activation: self._lower_elementwise,
            Pooling: self._lower_pooling,
            Softmax: self._lower_softmax,
            BinaryOperation: self._lower_binary,
        }
        lowering = self._lower_elementwise if isinstance(group.first, PerChannel) else lowerings.get(type(group.first))
        if lowering is None:
            fail(self._model, group.first, "the native toolchain cannot compute it")
        lowering(group)

    def _lower_input(self, group: Group) -> None:
        if self._input:
            fail(self._model, group.first, "a model with more than one input is not supported")
        self._input = self._values.define_input(group.first)

    def _lower_output(self, group: Group) -> None:
        if self._output:
            fail(self._model, group.first, "a model with more than one output is not supported")
        self._output = self._values.define_output(group.first)

    def _lower_constant(self, group: Group) -> None:
        assert isinstance(group.first, Constant)
        self._values.define_constant(group.first)

    def _lower_reorder(self, group: Group) -> None:
        node = group.first
        if node.input_layouts[0].size != node.output_layout.size:
            fail(self._model, node, f"cannot reorder {node.input_layouts[0].size} into {node.output_layout.size}")
        self._values.pass_on(node, self._values.read(node))

    def _lower_reinterpret(self, group: Group) -> None:
        """Nothing: whoever reads it looks at the memory of the node that it reads."""

    def _lower_convolution(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, Convolution)
        layout, size = node.input_layouts[0], node.output_layout.size
        filters, channels = node.weights.shape[0], layout.size[2]
        if layout.extent[2] != channels or filters != size[2]:
            fail(self._model, node, "padding along the channels is not supported")
        affine = fold(group.nodes[1:], filters)
        activation, leaky = _activation(group)
        inputs = [self._values.read_with_border(node)]
        if group.residual is not None:
            inputs.append(self._values.view(*group.residual, group.last))
        shape = ConvolutionShape(
            layout.size[0], layout.size[1], channels, filters, node.receptive_field, node.stride,
            layout.offset[0], node.depthwise, size[0], size[1], _epilogue(group, activation),
        )  # fmt: skip
        self._add(
            ConvolutionStep(
                "convolution", _ids(group), node.type_name, tuple(inputs), self._values.define(group.last),
                activation, leaky,
                shape=shape, border=self._borders.read_by(node), name=node.name,
                weights=affine.scaled(node.weights), bias=affine.shift,
            )
        )  # fmt: skip

    def _lower_fully_connected(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, FullyConnected)
        source = self._values.read(node)
        rows, columns, channels = node.output_layout.size
        affine = fold(group.nodes[1:], channels).repeated(rows * columns)
        activation, leaky = _activation(group)
        self._add(
            FullyConnectedStep(
                "fully_connected", _ids(group), node.type_name, (source,), self._values.define(group.last),
                activation, leaky, weights=affine.scaled(node.weights), bias=affine.shift,
            )
        )  # fmt: skip

    def _lower_elementwise(self, group: Group) -> None:
        node, last = group.first, group.last
        source = self._values.read(node)
        affine = fold(group.nodes, node.output_layout.size[2])
        activation, leaky = _activation(group)
        alone = isinstance(node, Activation)
        self._add(
            ElementwiseStep(
                "elementwise", _ids(group), node.type_name, (source,), self._values.define(last),
                activation, leaky,
                scale=None if alone else affine.scale,
                shift=None if alone else affine.shift,
                alpha=last.alpha if isinstance(last, Activation) else None,
            )
        )  # fmt: skip

    def _lower_pooling(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, Pooling)
        if node.function not in ("max", "mean"):
            fail(self._model, node, f"unknown pooling {node.function!r}")
        if self._borders.reads_own_border(node):
            layout = node.input_layouts[0]
            top, left = layout.offset[:2]
            bottom, right = (layout.extent[d] - layout.offset[d] - layout.size[d] for d in (0, 1))
            fill = self._borders.owner(node.inputs[0]).padding_value
            source, padding = self._values.read(node), Border(top, left, bottom, right, fill)
        else:
            source, padding = self._values.read_whole(node), Border()
        self._add(
            PoolingStep(
                "pooling", _ids(group), node.type_name, (source,), self._values.define(node),
                function="max" if node.function == "max" else "mean",
                size=node.pooling_size,
                stride=node.stride,
                padding=padding,
            )
        )  # fmt: skip

    def _lower_softmax(self, group: Group) -> None:
        node = group.first
        source = self._values.read(node)
        self._add(Step("softmax", _ids(group), node.type_name, (source,), self._values.define(node)))

    def _lower_binary(self, group: Group) -> None:
        node = group.first
        assert isinstance(node, BinaryOperation)
        if node.operation not in BINARY_OPERATIONS:
            known = ", ".join(BINARY_OPERATIONS)
            fail(self._model, node, f"unknown operation {node.operation!r}; known: {known}")
        if any(layout.size != node.output_layout.size for layout in node.input_layouts):
            fail(self._model, node, "its operands differ in size")
        sources = (self._values.read(node, 0), self._values.read(node, 1))
        activation, leaky = _activation(group)
        self._add(
            BinaryStep(
                "binary", _ids(group), node.type_name, sources, self._values.define(group.last),
                activation, leaky, operation=node.operation,
            )
        )  # fmt: skip

    def _add(self, step: Step) -> None:
        self._values.steps.append(step)


def _ids(group: Group) -> tuple[str, ...]:
    return tuple(node.node_id for node in group.nodes)


def _activation(group: Group) -> tuple[str, float]:
    last = group.last
    return (last.function, last.leaky_factor) if isinstance(last, Activation) else ("none", 0.0)


def _epilogue(group: Group, activation: str) -> str:
    """What is fused behind a convolution, as ``ConvolutionShape.epilogue`` names it."""
    affine = any(isinstance(node, PerChannel) for node in group.nodes)
    parts = ["bias"] if affine else []
    if group.residual is not None:
        parts.append("residual")
    if activation != "none":
        parts.append(activation)
    return " ".join(parts)
