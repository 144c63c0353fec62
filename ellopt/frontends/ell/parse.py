"""From a node of the archive to its meaning: one function a kind. Weight counts are checked against the shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from ellopt.frontends.ell import joining, operations
from ellopt.frontends.ell.fields import MAX_WINDOW, Fields
from ellopt.frontends.ell.layouts import read_layout
from ellopt.frontends.ell.raw import RawNode
from ellopt.model import layers
from ellopt.model.layers import FloatArray, MemoryLayout, Node

Outputs = Mapping[str, MemoryLayout]
#: Gives the node, or several of which the last one is the node and the others help it.
Parser = Callable[[RawNode, Outputs], Node | tuple[Node, ...]]

ACTIVATIONS = {
    "ReLUActivation": "relu",
    "LeakyReLUActivation": "leaky_relu",
    "ParametricReLUActivation": "parametric_relu",
    "SigmoidActivation": "sigmoid",
    "TanhActivation": "tanh",
    "HardSigmoidActivation": "hard_sigmoid",
    "HardTanhActivation": "hard_tanh",
}
_DECIDED = frozenset(
    f"{method}Convolution{suffix}"
    for method in ("Simple", "Unrolled", "Winograd", "Diagonal", "Spatial")
    for suffix in ("Node", "ComputeNode")
)


def parse_node(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """The meaning of a node whose inputs wrote ``outputs``; nodes that help it come first. Raises ModelFormatError."""
    if raw.kind in _DECIDED:
        raw.fail(
            "its convolution method has already been decided; start from the model as it was before ELL compiled it"
        )
    if raw.kind == "BinaryConvolutionalLayerNode":
        raw.fail("binary convolutions are not supported")
    parser = PARSERS.get(raw.kind)
    if parser is None:
        raw.fail("this kind of node is not supported")
    if raw.element not in ("float", "double"):
        raw.fail(f"elements of type {raw.element or 'unknown'} are not supported, only float and double")
    found = parser(raw, outputs)
    return found if isinstance(found, tuple) else (found,)


def _input(raw: RawNode, outputs: Outputs) -> Node:
    layout = read_layout(raw.fields, "layout")
    return layers.Input(**raw.common((), (), layout))


def _output(raw: RawNode, outputs: Outputs) -> Node:
    source = raw.source("input", outputs)
    layout = raw.layout_for("layout", source, outputs)
    return layers.Output(**raw.common((source,), (layout,), layout))


def _constant(raw: RawNode, outputs: Outputs) -> Node:
    layout = read_layout(raw.fields, "layout")
    values = raw.fields.floats("values")
    _count(raw, "values", values.size, layout.elements)
    return layers.Constant(**raw.common((), (), layout), values=values)


def _reorder(raw: RawNode, outputs: Outputs) -> Node:
    source = raw.source("input", outputs)
    read = raw.layout_for("inputLayout", source, outputs)
    written = read_layout(raw.fields, "outputLayout")
    if read.size != written.size:
        raw.fail(f"it reads {_shape(read.size)} but writes {_shape(written.size)}")
    padding = raw.fields.number("paddingValue") if "paddingValue" in raw.fields else 0.0
    return layers.Reorder(**raw.common((source,), (read,), written, padding))


def _reinterpret(raw: RawNode, outputs: Outputs) -> Node:
    source = raw.source("input", outputs)
    written = read_layout(raw.fields, "outputLayout")
    if written.elements != outputs[source].elements:
        raw.fail(f"its outputLayout has {written.elements} elements, but it reads {outputs[source].elements}")
    return layers.Reinterpret(**raw.common((source,), (outputs[source],), written))


def _binary_operation(raw: RawNode, outputs: Outputs) -> Node:
    sources = (raw.source("input1", outputs), raw.source("input2", outputs))
    read = tuple(raw.layout_for(f"inputLayout{n}", source, outputs) for n, source in enumerate(sources, 1))
    written = read_layout(raw.fields, "outputLayout") if "outputLayout" in raw.fields else read[0]
    if not read[0].size == read[1].size == written.size:
        raw.fail("its inputs and its output differ in size: " + ", ".join(_shape(x.size) for x in (*read, written)))
    padding = raw.fields.number("padding") if "padding" in raw.fields else 0.0
    operation = operations.operation_of(raw, operations.EQUAL_SIZES)
    return layers.BinaryOperation(**raw.common(sources, read, written, padding), operation=operation)


class _Layer:
    """The fields that all ``*LayerNode`` share, checked."""

    def __init__(self, raw: RawNode, outputs: Outputs) -> None:
        self.raw = raw
        self.fields: Fields = raw.fields.object("layer")
        source = raw.source("input", outputs)
        self.read = raw.layout_for("inputLayout", source, outputs)
        self.written = read_layout(raw.fields, "outputLayout")
        self.padding = self.fields.integer("inputPaddingSize")
        shape = self.fields.integers("outputShape")
        if prod(shape) != self.written.elements:
            raw.fail(f"outputShape {list(shape)} disagrees with the outputLayout {_shape(self.written.extent)}")
        value = raw.padding_value(self.fields, self.written)
        self.common = raw.common((source,), (self.read,), self.written, value)

    def same_size(self) -> None:
        if self.read.size != self.written.size:
            self.raw.fail(f"it reads {_shape(self.read.size)} but writes {_shape(self.written.size)}")

    def per_channel(self, key: str) -> FloatArray:
        values = self.fields.floats(key)
        _count(self.raw, key, values.size, self.read.size[2])
        return values

    def window(self, size: int) -> None:
        """Check that the layer's input padding is what its input carries."""
        border = self.read.offset[:2]
        if border != (self.padding, self.padding) or self.read.offset[2] or self.read.extent[2] != self.read.size[2]:
            self.raw.fail(f"inputPaddingSize is {self.padding}, but its input carries a border of {list(border)}")
        if min(self.read.extent[:2]) < size:
            self.raw.fail(f"a window of {size} does not fit into the input {_shape(self.read.extent)}")


def _convolution(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    field, stride = (layer.fields.integer(key, 1, MAX_WINDOW) for key in ("receptiveField", "stride"))
    layer.window(field)
    rows, columns, depth = (layer.fields.integer(f"weights_{name}", 1) for name in ("rows", "columns", "channels"))
    channels, filters = layer.read.size[2], layer.written.size[2]
    depthwise = depth == 1 and channels > 1
    if columns != field or rows != filters * field:
        raw.fail(f"weights of {rows} x {columns} do not make {filters} filters of {field} x {field}")
    if depthwise and filters != channels:
        raw.fail(f"a depthwise convolution of {channels} channels must have as many filters, not {filters}")
    if not depthwise and depth != channels:
        raw.fail(f"its weights have {depth} channels, its input has {channels}")
    weights = layer.fields.floats("weights_values")
    _count(raw, "weights_values", weights.size, rows * columns * depth)
    for n, whole in zip(layer.written.size[:2], layer.read.extent[:2], strict=True):
        if (n - 1) * stride + field > whole:
            raw.fail(f"its output {_shape(layer.written.size)} reads beyond its input {_shape(layer.read.extent)}")
    return layers.Convolution(
        **layer.common,
        receptive_field=field,
        stride=stride,
        depthwise=depthwise,
        weights=weights.reshape(filters, field, field, depth),
    )


def _bias(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    layer.same_size()
    return layers.Bias(**layer.common, bias=layer.per_channel("bias"))


def _scaling(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    layer.same_size()
    return layers.Scaling(**layer.common, scales=layer.per_channel("scales"))


def _batch_normalization(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    layer.same_size()
    return layers.BatchNormalization(
        **layer.common,
        multiplication=layer.per_channel("multiplicationValues"),
        addition=layer.per_channel("additionValues"),
    )


def _activation(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    layer.same_size()
    activation = layer.fields.object("activation")
    name = activation.type_name.partition("<")[0]
    if name not in ACTIVATIONS:
        raw.fail(f"the activation {activation.type_name} is not supported")
    function = ACTIVATIONS[name]
    factor = activation.number("leakyFactor") if function == "leaky_relu" else 0.0
    alpha = _alpha(raw, layer, activation) if function == "parametric_relu" else None
    return layers.Activation(**layer.common, function=function, leaky_factor=factor, alpha=alpha)


def _alpha(raw: RawNode, layer: _Layer, activation: Fields) -> FloatArray:
    shape = tuple(activation.integer(f"alpha_{name}", 1) for name in ("rows", "columns", "channels"))
    values = activation.floats("alpha_values")
    _count(raw, "alpha_values", values.size, prod(shape))
    if shape == layer.written.size:
        return values.reshape(shape)
    if shape != layer.written.extent:
        raw.fail(f"alpha has the shape {_shape(shape)}, its output {_shape(layer.written.size)}")
    inside = tuple(slice(o, o + n) for o, n in zip(layer.written.offset, layer.written.size, strict=True))
    return values.reshape(shape)[inside]


def _pooling(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    functions = {"MaxPoolingFunction": "max", "MeanPoolingFunction": "mean"}
    if raw.variant not in functions:
        raw.fail(f"the pooling function {raw.variant or 'unknown'} is not supported")
    size, stride = (layer.fields.integer(key, 1, MAX_WINDOW) for key in ("poolingSize", "stride"))
    layer.window(1)
    if layer.read.size[2] != layer.written.size[2]:
        raw.fail(f"it reads {layer.read.size[2]} channels but writes {layer.written.size[2]}")
    for n, whole in zip(layer.written.size[:2], layer.read.extent[:2], strict=True):
        if (n - 1) * stride >= whole:
            raw.fail(f"its output {_shape(layer.written.size)} reads beyond its input {_shape(layer.read.extent)}")
    return layers.Pooling(
        **layer.common, function=functions[raw.variant], pooling_size=size, stride=stride, padding=layer.padding
    )


def _fully_connected(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    rows, columns = layer.fields.integer("weights_rows", 1), layer.fields.integer("weights_columns", 1)
    if columns != prod(layer.read.size) or rows != prod(layer.written.size):
        raw.fail(
            f"weights of {rows} x {columns} do not connect {_shape(layer.read.size)} to {_shape(layer.written.size)}"
        )
    weights = layer.fields.floats("weights_values")
    _count(raw, "weights_values", weights.size, rows * columns)
    return layers.FullyConnected(**layer.common, weights=weights.reshape(rows, columns))


def _softmax(raw: RawNode, outputs: Outputs) -> Node:
    layer = _Layer(raw, outputs)
    layer.same_size()
    return layers.Softmax(**layer.common)


def _count(raw: RawNode, key: str, found: int, expected: int) -> None:
    if found != expected:
        raw.fail(f"{key} has {found} values, its shape needs {expected}")


def _shape(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


PARSERS: Mapping[str, Parser] = {
    "InputNode": _input,
    "OutputNode": _output,
    "ConstantNode": _constant,
    "ReorderDataCodeNode": _reorder,
    "ReorderDataNode": _reorder,
    "ReinterpretLayoutNode": _reinterpret,
    "BinaryOperationNode": _binary_operation,
    "ConvolutionalLayerNode": _convolution,
    "BiasLayerNode": _bias,
    "ScalingLayerNode": _scaling,
    "BatchNormalizationLayerNode": _batch_normalization,
    "ActivationLayerNode": _activation,
    "PoolingLayerNode": _pooling,
    "FullyConnectedLayerNode": _fully_connected,
    "SoftmaxLayerNode": _softmax,
    "ConcatenationNode": joining.concatenation,
    "SpliceNode": joining.splice,
    "SliceNode": joining.slice_,
    "RegionDetectionLayerNode": joining.region_detection,
    "RegionDetectionNode": joining.region_detection,
    "UnaryOperationNode": operations.unary,
    "BroadcastUnaryOperationNode": operations.broadcast_unary,
    "BroadcastBinaryOperationNode": operations.broadcast_binary,
    "BroadcastTernaryOperationNode": operations.broadcast_ternary,
    "BroadcastUnaryFunctionNode": operations.broadcast_function,
    "BroadcastLinearFunctionNode": operations.broadcast_linear,
    "SumNode": operations.sum_,
    "MatrixMatrixMultiplyNode": operations.matrix_product,
}
