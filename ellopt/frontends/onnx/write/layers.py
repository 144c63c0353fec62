"""What each kind of layer is in operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import OUTSIDE, IntArray, Node
from ellopt.model.loops import collapsed

if TYPE_CHECKING:
    from ellopt.frontends.onnx.write.writer import Writer

_BINARY = {"add": "Add", "subtract": "Sub", "coordinatewiseMultiply": "Mul", "multiply": "Mul", "divide": "Div"}
_FUNCTIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "absolute": "Abs",
    "exponential": "Exp",
    "logarithm": "Log",
    "square_root": "Sqrt",
    "sine": "Sin",
    "cosine": "Cos",
    "sign": "Sign",
}
_LOWEST = -float(np.finfo(np.float32).max)
_REDUCTIONS = {"mean": "ReduceMean", "sum": "ReduceSum", "maximum": "ReduceMax", "minimum": "ReduceMin"}


def _reorder(w: Writer, node: Node) -> str:
    return w.inside(node)


def _convolution(w: Writer, node: Node) -> str:
    """Zeros around the image are the operator's own padding; any other border is padded in front of it."""
    assert isinstance(node, layers.Convolution)
    layout, size = node.input_layouts[0], node.output_layout.size
    source = node.inputs[0]
    needed = [(n - 1) * s + e for n, s, e in zip(size[:2], node.strides, node.extent, strict=True)]
    pads = (0, 0, 0, 0)
    if w.is_own_border(source, layout) and (w.padding_value(source) == 0 or layout.extent == layout.size):
        ends = [max(0, n - o - inside) for n, o, inside in zip(needed, layout.offset, layout.size, strict=False)]
        pads = (*layout.offset[:2], ends[0], ends[1])
        value, whole = w.inside(node), [o + n + b for o, n, b in zip(layout.offset, layout.size, ends, strict=False)]
    else:
        value, whole = w.view(source, layout, border=True), list(layout.extent[:2])
    channels = layout.size[2]
    group = channels if node.depthwise else node.groups
    behind = w.behind(node)
    weights = behind.scaled(node.weights) if behind else node.weights
    given = [value, w.constant(weights.transpose(0, 3, 1, 2))]
    if behind:
        given.append(w.constant(behind.shift, "bias"))
    value = w.add(
        "Conv", given, main=True, kernel_shape=node.window, strides=node.strides, dilations=node.dilations,
        pads=pads, group=group,
    )  # fmt: skip
    made = [(n - e) // s + 1 for n, e, s in zip(whole, node.extent, node.strides, strict=True)]
    return value if tuple(made) == size[:2] else w.part(value, (0, 0, 0), size)


def _bias(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Bias)
    return w.add("Add", [w.inside(node), w.constant(node.bias[:, None, None], "bias")])


def _scaling(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Scaling)
    return w.add("Mul", [w.inside(node), w.constant(node.scales[:, None, None], "scales")])


def _batch_normalization(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.BatchNormalization)
    zeros, ones = np.zeros_like(node.addition), np.ones_like(node.addition)
    given = [("scale", node.multiplication), ("bias", node.addition), ("mean", zeros), ("variance", ones)]
    constants = [w.constant(values, what) for what, values in given]
    return w.add("BatchNormalization", [w.inside(node), *constants], epsilon=0.0)


def _activation(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Activation)
    value = w.inside(node)
    if node.alpha is None and (row := w.known_row(value)):
        return w.image_of_row(_function(w, node, row), node.output_layout.size)
    return _function(w, node, value)


def _function(w: Writer, node: layers.Activation, value: str) -> str:
    if node.function in _FUNCTIONS:
        return w.add(_FUNCTIONS[node.function], [value])
    if node.function == "leaky_relu":
        return w.add("LeakyRelu", [value], alpha=node.leaky_factor)
    if node.function == "parametric_relu":
        assert node.alpha is not None
        return w.add("PRelu", [value, w.constant(node.alpha.transpose(2, 0, 1), "slope")])
    if node.function == "hard_sigmoid":
        return w.add("HardSigmoid", [value], alpha=0.2, beta=0.5)
    if node.function == "hard_tanh":
        limits = [w.constant(np.float32(limit), "limit") for limit in (-1, 1)]
        return w.add("Clip", [value, *limits])
    raise Refused(f"with the function {node.function} has no operator of ONNX")


def _pooling(w: Writer, node: Node) -> str:
    """Cells of the border take part; those beyond it are not there for a maximum, and zeros in a mean. A border of
    such cells is the operator's own padding."""
    assert isinstance(node, layers.Pooling)
    layout, size, source = node.input_layouts[0], node.output_layout.size, node.inputs[0]
    window, stride, kind = node.pooling_size, node.stride, "MaxPool" if node.function == "max" else "AveragePool"
    if layout.extent == layout.size == (window, window, size[2]) and size[:2] == (1, 1):
        return w.add(f"Global{kind}", [w.inside(node)])
    is_neutral = w.padding_value(source) <= _LOWEST if kind == "MaxPool" else w.padding_value(source) == 0
    first, around = layout.offset[:2], [n - inside for n, inside in zip(layout.extent, layout.size, strict=True)]
    if w.is_own_border(source, layout) and is_neutral and max(around[:2]) < window and around[2] == 0:
        value, whole = w.inside(node), [o + n for o, n in zip(first, layout.size, strict=False)]
    else:
        value, whole, first = w.view(source, layout, border=True), list(layout.extent[:2]), (0, 0)
    ends = [max(0, (n - 1) * stride + window - have) for n, have in zip(size[:2], whole, strict=True)]
    fields: dict[str, Any] = {} if kind == "MaxPool" else {"count_include_pad": 1}
    value = w.add(kind, [value], kernel_shape=[window] * 2, strides=[stride] * 2, pads=[*first, *ends], **fields)
    made = tuple((have + more - window) // stride + 1 for have, more in zip(whole, ends, strict=True))
    return value if made == size[:2] else w.part(value, (0, 0, 0), size)


def _fully_connected(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.FullyConnected)
    size, made, outputs = node.input_layouts[0].size, node.output_layout.size, len(node.weights)
    behind = w.behind(node)
    weights = behind.scaled(node.weights) if behind else node.weights
    given = [w.row(node), w.constant(weights.reshape(outputs, *size).transpose(0, 3, 1, 2).reshape(outputs, -1))]
    if behind:
        given.append(w.constant(np.tile(behind.shift, outputs // made[2]), "bias"))
    value = w.add("Gemm", given, transB=1)
    return w.image_of_row(value, made) if made[:2] == (1, 1) or made[2] == 1 else w.image(value, made)


def _softmax(w: Writer, node: Node) -> str:
    size = node.output_layout.size
    return w.image_of_row(w.add("Softmax", [w.row(node)], axis=1), size)


def _binary(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.BinaryOperation)
    return w.add(_BINARY[node.operation], [w.inside(node), w.inside(node, 1)])


def _remap(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Remap)
    index: IntArray = np.zeros((), np.int64)
    for axis, table in enumerate(node.tables):
        index = index + table.reshape(-1, *(1,) * (len(node.tables) - axis - 1))
    index = index.reshape(-1)
    value = w.flat(node)
    elements = prod(node.input_layouts[0].size)
    if (index < 0).any():
        value = w.add("Concat", [value, w.constant(np.full(1, node.fill, np.float32), "fill")], axis=0)
        index = np.where(index < OUTSIDE // 2, elements, index)
    return w.image(_taken(w, value, index, elements), node.output_layout.size)


def _taken(w: Writer, value: str, index: Any, elements: int) -> str:
    """The elements of these numbers of a tensor of one dimension."""
    if (np.diff(index) == 1).all() and index[-1] < elements:
        if len(index) == elements:
            return value
        return w.add("Slice", [value, w.integers(index[:1]), w.integers(index[-1:] + 1)])
    return w.add("Gather", [value, w.integers(index)], axis=0)


def _strided(w: Writer, value: str, counts: tuple[int, ...], strides: tuple[int, ...], elements: int) -> str:
    """A tensor of one dimension as one of ``counts``; 1 where a stride is 0 and all are the same."""
    shape = tuple(1 if step == 0 else n for n, step in zip(counts, strides, strict=True))
    index: IntArray = np.zeros((), np.int64)
    for axis, (n, step) in enumerate(zip(shape, strides, strict=True)):
        index = index + (np.arange(n, dtype=np.int64) * step).reshape(-1, *(1,) * (len(shape) - axis - 1))
    return w.add("Reshape", [_taken(w, value, index.reshape(-1), elements), w.integers(shape)])


def _concatenation(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Concatenation)
    parts = []
    for k, inner in enumerate(node.inners):
        parts.append(w.add("Reshape", [w.flat(node, k), w.integers((node.outer, inner))]))
    return w.image(w.add("Concat", parts, axis=1), node.output_layout.size)


def _broadcast(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Broadcast)
    if node.operation not in _BINARY:
        raise Refused(f"with {node.operation} has no operator of ONNX")
    operands = [
        _strided(w, w.flat(node, k), node.counts, strides, prod(node.input_layouts[k].size))
        for k, strides in enumerate(node.strides)
    ]
    return w.image(w.add(_BINARY[node.operation], operands), node.output_layout.size)


def _reduction(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Reduction)
    if node.operation == "mean" and _is_of_images(node):
        return w.add("GlobalAveragePool", [w.inside(node)])
    value = _strided(w, w.flat(node), node.counts, node.strides, prod(node.input_layouts[0].size))
    axes = list(range(node.kept, len(node.counts)))
    if node.operation == "sum":
        value = w.add("ReduceSum", [value, w.integers(axes)])
    else:
        value = w.add(_REDUCTIONS[node.operation], [value], axes=axes)
    return w.image(value, node.output_layout.size)


def _is_of_images(node: layers.Reduction) -> bool:
    """Whether one number remains of each channel."""
    rows, columns, channels = node.input_layouts[0].size
    kept, (kept_steps,) = collapsed(node.counts[: node.kept], [node.strides[: node.kept]])
    gone, (gone_steps,) = collapsed(node.counts[node.kept :], [node.strides[node.kept :]])
    of_channels = (kept, kept_steps) == ([channels], [1]) and node.output_layout.size == (1, 1, channels)
    return of_channels and (gone, gone_steps) == ([rows * columns], [channels])


def _matrix_product(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.MatrixProduct)
    batches, elements = node.batches, [prod(layout.size) for layout in node.input_layouts]
    left, right = (*batches, node.rows, node.depth), (*batches, node.depth, node.columns)
    first = _strided(w, w.flat(node), left, (*node.left_batches, *node.left), elements[0])
    second = _strided(w, w.flat(node, 1), right, (*node.right_batches, *node.right), elements[1])
    return w.image(w.add("MatMul", [first, second]), node.output_layout.size)


def _axis_softmax(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.AxisSoftmax)
    value = w.add("Reshape", [w.flat(node), w.integers((node.outer, node.length, node.inner))])
    value = w.add("LogSoftmax" if node.logarithm else "Softmax", [value], axis=1)
    return w.image(value, node.output_layout.size)


WRITERS: Mapping[type[Any], Callable[[Writer, Node], str]] = {
    layers.Reorder: _reorder,
    layers.Convolution: _convolution,
    layers.Bias: _bias,
    layers.Scaling: _scaling,
    layers.BatchNormalization: _batch_normalization,
    layers.Activation: _activation,
    layers.Pooling: _pooling,
    layers.FullyConnected: _fully_connected,
    layers.Softmax: _softmax,
    layers.BinaryOperation: _binary,
    layers.Remap: _remap,
    layers.Concatenation: _concatenation,
    layers.Broadcast: _broadcast,
    layers.Reduction: _reduction,
    layers.MatrixProduct: _matrix_product,
    layers.AxisSoftmax: _axis_softmax,
}
