"""What each layer computes, in NumPy: the yardstick for every generated program.

Sums are accumulated in float64 and stored as float32 after each node. Each node writes a flat buffer with its border
filled, exactly as ELL lays it out; the next node views that buffer with its own layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ellopt.model import layers
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray, MemoryLayout, Node

Tensor = npt.NDArray[np.float64]


def predict(model: Model, values: npt.ArrayLike) -> FloatArray:
    """The model's output, flat, for an input in rows x columns x channels (or flat in that order)."""
    return run(model, values)[model.output.node_id].reshape(-1)


def run(model: Model, values: npt.ArrayLike) -> dict[str, FloatArray]:
    """The tensor that every node writes, by node id: rows x columns x channels, float32, without borders.

    ``values`` is the input in rows x columns x channels (or flat in that order). Raises ValueError for another size.
    """
    written = buffers(model, values)
    return {node.node_id: np.ascontiguousarray(view(written[node.node_id], node.output_layout)) for node in model.nodes}


def buffers(model: Model, values: npt.ArrayLike) -> dict[str, FloatArray]:
    """The flat buffer that every node leaves in memory, border included, by node id. Raises as ``run``."""
    written: dict[str, FloatArray] = {}
    with np.errstate(all="ignore"):  # what overflows is infinite, here as in every program
        for node in model.nodes:
            if isinstance(node, layers.Input):
                written[node.node_id] = with_border(node, _checked_input(values, node.output_layout))
            else:
                written[node.node_id] = write(node, [written[source] for source in node.inputs])
    return written


def write(node: Node, buffers: list[FloatArray]) -> FloatArray:
    """The flat buffer that one node (not an input) leaves, from the flat buffers of its inputs."""
    if isinstance(node, layers.Constant):
        return node.values
    if isinstance(node, layers.Reinterpret | layers.Output):
        return buffers[0]
    return with_border(node, compute(node, buffers))


def with_border(node: Node, values: FloatArray | Tensor) -> FloatArray:
    """The flat buffer that holds ``values`` (rows x columns x channels) as ``node`` writes it, float32."""
    layout = node.output_layout
    buffer = np.full(layout.elements, node.padding_value, np.float32)
    view(buffer, layout)[...] = values.reshape(layout.size)
    return buffer


def compute(node: Node, buffers: list[FloatArray]) -> Tensor:
    """One node's output tensor (size, without border) from the flat buffers of its inputs.

    NaN in a window, a sum or an activation makes its result NaN.
    """
    return _MEANING[type(node)](node, buffers)


def view(buffer: FloatArray, layout: MemoryLayout, border: bool = False) -> FloatArray:
    """A flat buffer as rows x columns x channels, with its border or without; shares memory with the buffer."""
    physical = buffer.reshape([layout.extent[dimension] for dimension in layout.order])
    logical = physical.transpose(np.argsort(layout.order))
    if border:
        return logical
    return logical[tuple(slice(o, o + n) for o, n in zip(layout.offset, layout.size, strict=True))]


def _checked_input(values: npt.ArrayLike, layout: MemoryLayout) -> FloatArray:
    array = np.asarray(values, np.float32)
    if array.size != layout.size[0] * layout.size[1] * layout.size[2] or (
        array.ndim == 3 and array.shape != layout.size
    ):
        raise ValueError(f"the input has the shape {array.shape}, the model wants {layout.size}")
    return array.reshape(layout.size)


def _inner(node: Node, buffers: list[FloatArray], index: int = 0) -> Tensor:
    return view(buffers[index], node.input_layouts[index]).astype(np.float64)


def _windows(source: Tensor, field: int, stride: int, rows: int, columns: int) -> Tensor:
    """All windows of field x field: [row, column, channel, window row, window column]."""
    windows = np.lib.stride_tricks.sliding_window_view(source, (field, field), axis=(0, 1))
    return windows[::stride, ::stride][:rows, :columns]


def _convolution(node: Node, buffers: list[FloatArray]) -> Tensor:
    """A sum over the taps of the receptive field: each is a product of matrices over all output pixels at once."""
    assert isinstance(node, layers.Convolution)
    source = view(buffers[0], node.input_layouts[0], border=True).astype(np.float64)
    rows, columns, filters = node.output_layout.size
    weights = node.weights.astype(np.float64)
    result = np.zeros((rows * columns, filters))
    for row in range(node.receptive_field):
        for column in range(node.receptive_field):
            tap = source[row :: node.stride, column :: node.stride][:rows, :columns].reshape(rows * columns, -1)
            if node.depthwise:
                result += tap * weights[:, row, column, 0]
            else:
                result += tap @ weights[:, row, column].T
    return result.reshape(rows, columns, filters)


def _activation(node: Node, buffers: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.Activation)
    x = _inner(node, buffers)
    if node.function == "leaky_relu":
        return np.where(x > 0, x, x * node.leaky_factor)
    if node.function == "parametric_relu":
        assert node.alpha is not None
        return np.where(x > 0, x, x * node.alpha)
    return ACTIVATION_FUNCTIONS[node.function](x)


def _sigmoid(x: Tensor) -> Tensor:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


ACTIVATION_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}


def _pooling(node: Node, buffers: list[FloatArray]) -> Tensor:
    """Border cells of the buffer take part with their value. Cells of a window beyond the buffer count as 0 in a mean
    (which always divides by the whole window) and take no part in a maximum."""
    assert isinstance(node, layers.Pooling)
    source = view(buffers[0], node.input_layouts[0], border=True).astype(np.float64)
    rows, columns, _ = node.output_layout.size
    missing = [
        max(0, (n - 1) * node.stride + node.pooling_size - whole)
        for n, whole in zip((rows, columns), source.shape[:2], strict=True)
    ]
    is_max = node.function == "max"
    edges = ((0, missing[0]), (0, missing[1]), (0, 0))
    padded = np.pad(source, edges, constant_values=-np.inf if is_max else 0)
    windows = _windows(padded, node.pooling_size, node.stride, rows, columns)
    pooled: Tensor = windows.max(axis=(3, 4)) if is_max else windows.mean(axis=(3, 4))
    return pooled


def _fully_connected(node: Node, buffers: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.FullyConnected)
    result: Tensor = node.weights.astype(np.float64) @ _inner(node, buffers).reshape(-1)
    return result


def _softmax(node: Node, buffers: list[FloatArray]) -> Tensor:
    x = _inner(node, buffers)
    e: Tensor = np.exp(x - x.max())
    e /= e.sum()
    return e


def _bias(node: Node, buffers: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.Bias)
    return _inner(node, buffers) + node.bias


def _scaling(node: Node, buffers: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.Scaling)
    return _inner(node, buffers) * node.scales


def _batch_normalization(node: Node, buffers: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.BatchNormalization)
    return _inner(node, buffers) * node.multiplication + node.addition


def _binary_operation(node: Node, buffers: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.BinaryOperation)
    return BINARY_FUNCTIONS[node.operation](_inner(node, buffers), _inner(node, buffers, 1))


BINARY_FUNCTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": np.add,
    "subtract": np.subtract,
    "coordinatewiseMultiply": np.multiply,
    "divide": np.divide,
}

_MEANING: Mapping[type[Node], Callable[[Node, list[FloatArray]], Tensor]] = {
    layers.Reorder: _inner,
    layers.Convolution: _convolution,
    layers.Bias: _bias,
    layers.Scaling: _scaling,
    layers.BatchNormalization: _batch_normalization,
    layers.Activation: _activation,
    layers.Pooling: _pooling,
    layers.FullyConnected: _fully_connected,
    layers.Softmax: _softmax,
    layers.BinaryOperation: _binary_operation,
}
