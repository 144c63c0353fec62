"""What each kind of layer is in ELL's nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ellopt.frontends.ell.layouts import packed_layout
from ellopt.frontends.ell.write_functions import LARGEST, activation, binary, parametric
from ellopt.frontends.ell.write_moves import joined, moved
from ellopt.frontends.ell.write_products import axis_weights, matrix_product, pool, reduction
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import FloatArray, MemoryLayout, Node, Shape3
from ellopt.model.loops import collapsed

if TYPE_CHECKING:
    from ellopt.frontends.ell.write import Writer

_BINARY = {"add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide"}


def _reorder(w: Writer, node: Node) -> str:
    return w.reorder(w.source(node), node.input_layouts[0], node.output_layout, node.padding_value)


def _constant(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Constant)
    return w.add("ConstantNode", {}, values=node.values, layout=node.output_layout)


def _windowed(w: Writer, source: str, layout: MemoryLayout) -> tuple[str, MemoryLayout]:
    """What a window moves over: a border that is the same on all sides is ELL's own, any other is part of the image."""
    border = layout.offset[0]
    extent = tuple(n + 2 * border for n in layout.size[:2])
    if layout.offset == (border, border, 0) and layout.extent == (*extent, layout.size[2]):
        return source, layout
    whole = packed_layout(layout.extent)
    return w.reinterpret(source, whole), whole


def _convolution(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Convolution)
    (rows, columns), (down, across) = node.window, node.strides
    if rows != columns:
        raise Refused(f"a window of {rows}x{columns}: ELL's are square")
    if down != across:
        raise Refused(f"strides of {down}x{across}: ELL's are the same along rows and columns")
    if node.dilations != (1, 1):
        raise Refused("dilation: ELL has none")
    source, read = _windowed(w, w.source(node), node.input_layouts[0])
    if node.groups == 1:
        return _one_convolution(w, source, read, node.output_layout, node.weights, node.depthwise, rows, down)
    depth, filters = read.size[2] // node.groups, len(node.weights) // node.groups
    if depth == filters == 1:
        return _one_convolution(w, source, read, node.output_layout, node.weights, True, rows, down)
    parts = []
    written = packed_layout((*node.output_layout.size[:2], filters))
    for group in range(node.groups):
        seen = replace(packed_layout(read.extent), size=(*read.extent[:2], depth), offset=(0, 0, group * depth))
        own = packed_layout((*read.extent[:2], depth))
        cut = w.reorder(w.reinterpret(source, seen), seen, own)
        weights = node.weights[group * filters : (group + 1) * filters]
        parts.append((_one_convolution(w, cut, own, written, weights, False, rows, down), filters))
    return w.reinterpret(joined(w, parts, prod(written.size[:2])), node.output_layout)


def _one_convolution(
    w: Writer, source: str, read: MemoryLayout, written: MemoryLayout, weights: FloatArray, depthwise: bool,
    field: int, stride: int,
) -> str:  # fmt: skip
    return w.layer(
        "Convolutional", source, read, written,
        receptiveField=field, stride=stride, method=0, numFiltersAtATime=1,
        weights_rows=len(weights) * field, weights_columns=field,
        weights_channels=1 if depthwise else read.size[2], weights_values=weights.reshape(-1),
    )  # fmt: skip


def _bias(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Bias)
    return w.layer("Bias", w.source(node), node.input_layouts[0], node.output_layout, bias=node.bias)


def _scaling(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Scaling)
    return w.layer("Scaling", w.source(node), node.input_layouts[0], node.output_layout, scales=node.scales)


def _batch_normalization(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.BatchNormalization)
    return w.layer(
        "BatchNormalization", w.source(node), node.input_layouts[0], node.output_layout,
        multiplicationValues=node.multiplication, additionValues=node.addition, epsilon=1e-5, epsilonSummand=0,
    )  # fmt: skip


def _binary_operation(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.BinaryOperation)
    operation = {"coordinatewiseMultiply": "multiply"}.get(node.operation, node.operation)
    return binary(w, operation, (w.source(node), w.source(node, 1)), node.input_layouts, node.output_layout)


def _fully_connected(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.FullyConnected)
    rows, columns = node.weights.shape
    return w.layer(
        "FullyConnected", w.source(node), node.input_layouts[0], node.output_layout,
        weights_rows=rows, weights_columns=columns, weights_values=node.weights.reshape(-1),
    )  # fmt: skip


def _softmax(w: Writer, node: Node) -> str:
    return w.layer("Softmax", w.source(node), node.input_layouts[0], node.output_layout)


def _axis_softmax(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.AxisSoftmax)
    if node.outer != 1 or node.inner != 1:
        raise Refused("along one axis of several: ELL's is over all elements")
    found = _softmax(w, node)
    return w.add("UnaryOperationNode", {"input": found}, operation="log") if node.logarithm else found


def _window_pooling(w: Writer, node: Node) -> str:
    """With padding that is written out: the smallest number for a maximum, zeros for a mean that counts them."""
    assert isinstance(node, layers.WindowPooling)
    (rows, columns), (down, across) = node.window, node.strides
    if rows != columns or down != across or node.dilations != (1, 1):
        raise Refused(f"a window of {rows}x{columns} with strides of {down}x{across}: ELL's are square")
    is_max = node.function == "max"
    read, size = node.input_layouts[0], node.output_layout.size
    source = w.source(node)
    behind = [
        max(0, (n - 1) * down + rows - before - whole)
        for n, before, whole in zip(size[:2], node.padding, read.size[:2], strict=True)
    ]
    if any((*node.padding, *behind)):
        inner = read.size
        extent: Shape3 = (
            node.padding[0] + inner[0] + behind[0], node.padding[1] + inner[1] + behind[1], inner[2],
        )  # fmt: skip
        padded = replace(packed_layout(extent), size=inner, offset=(*node.padding, 0))
        source = w.reorder(source, read, padded, -LARGEST if is_max else 0.0)
        read = packed_layout(extent)
        source = w.reinterpret(source, read)
    made = pool(w, "Max" if is_max else "Mean", source, read, node.output_layout, rows, down)
    if is_max or all((counted == rows).all() for counted in node.counted):
        return made
    # ELL divides by the whole window; what is not counted of it is made up for.
    share = rows * rows / (node.counted[0][:, None] * node.counted[1][None, :])
    factors = np.repeat(share.astype(np.float32)[:, :, None], size[2], axis=2)
    other, written = w.constant(factors, size), packed_layout(size)
    return binary(w, "multiply", (made, other), (node.output_layout, written), node.output_layout)


def _remap(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Remap)
    return moved(w, w.dense(node), prod(node.input_layouts[0].size), node.tables, node.fill, node.output_layout)


def _concatenation(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Concatenation)
    parts = [(w.dense(node, k), inner) for k, inner in enumerate(node.inners)]
    return w.reinterpret(joined(w, parts, node.outer), node.output_layout)


def _broadcast(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Broadcast)
    counts, strides = collapsed(node.counts, node.strides)
    if node.operation == "prelu":
        slope = w.model.by_id[node.inputs[1]]
        if isinstance(slope, layers.Constant) and prod(counts) == prod(node.input_layouts[0].size):
            layout = node.input_layouts[1]
            values = np.ascontiguousarray(layout.view(slope.values)).reshape(-1)
            steps = [n * values.itemsize for n in node.strides[1]]
            alpha = np.lib.stride_tricks.as_strided(values, node.counts, steps).reshape(node.output_layout.size)
            return parametric(w, w.source(node), node.input_layouts[0], node.output_layout, alpha)
    if node.operation not in _BINARY:
        raise Refused(f"{node.operation}: ELL has no node for it")
    if len(counts) > 3:
        raise Refused("broadcasting over more than three dimensions")
    more = 3 - len(counts)
    size = (*[1] * more, *counts)
    operands = []
    for k, own in enumerate(strides):
        shape = [*[1] * more, *(1 if step == 0 else n for n, step in zip(counts, own, strict=True))]
        dense: list[int] = []
        step = 1
        for n in reversed(shape):
            dense.insert(0, step)
            step *= n
        if any(given not in (0, wanted) for given, wanted in zip(own, dense[more:], strict=True)) or step != prod(
            node.input_layouts[k].size
        ):
            raise Refused("broadcasting of what lies in another order")
        operands.append(w.shaped(w.dense(node, k), shape)[0])
    made = w.add(
        "BroadcastBinaryOperationNode", {"input1": operands[0], "input2": operands[1]},
        outputLayout=packed_layout((size[0], size[1], size[2])), padding=0, operation=_BINARY[node.operation],
    )  # fmt: skip
    return w.reinterpret(made, node.output_layout)


KINDS: Mapping[type[Any], Callable[[Writer, Node], str]] = {
    layers.Reorder: _reorder,
    layers.Constant: _constant,
    layers.Convolution: _convolution,
    layers.Bias: _bias,
    layers.Scaling: _scaling,
    layers.BatchNormalization: _batch_normalization,
    layers.Activation: activation,
    layers.BinaryOperation: _binary_operation,
    layers.FullyConnected: _fully_connected,
    layers.Softmax: _softmax,
    layers.AxisSoftmax: _axis_softmax,
    layers.WindowPooling: _window_pooling,
    layers.Remap: _remap,
    layers.Concatenation: _concatenation,
    layers.Broadcast: _broadcast,
    layers.Reduction: reduction,
    layers.AxisWeights: axis_weights,
    layers.MatrixProduct: matrix_product,
}
