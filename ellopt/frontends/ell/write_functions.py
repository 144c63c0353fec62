"""Functions of one number, and of two, in ELL's nodes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ellopt.frontends.ell.layouts import packed_layout
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import FloatArray, MemoryLayout, Node

if TYPE_CHECKING:
    from ellopt.frontends.ell.write import Writer

LARGEST = 3.4028234663852886e38
_ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "parametric_relu": "ParametricReLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hard_sigmoid": "HardSigmoid",
    "hard_tanh": "HardTanh",
}
_UNARY = {
    "absolute": "abs",
    "exponential": "exp",
    "logarithm": "log",
    "square_root": "sqrt",
    "sine": "sin",
    "cosine": "cos",
    "sign": "sign",
}


def _function(w: Writer, source: str, read: MemoryLayout, written: MemoryLayout, name: str, **fields: Any) -> str:
    activation = {"_type": f"{_ACTIVATIONS[name]}Activation<float>", "_version": "0", **fields}
    return w.layer("Activation", source, read, written, activation=activation)


def _affine(w: Writer, source: str, read: MemoryLayout, scale: float, shift: float) -> tuple[str, MemoryLayout]:
    """x * scale + shift, the same for all channels."""
    written = packed_layout(read.size)
    ones = np.ones(read.size[2], np.float32)
    if scale != 1:
        source, read = w.layer("Scaling", source, read, written, scales=ones * np.float32(scale)), written
    if shift != 0:
        source, read = w.layer("Bias", source, read, written, bias=ones * np.float32(shift)), written
    return source, read


def _linear_sigmoid(w: Writer, source: str, read: MemoryLayout, a: float, b: float) -> str:
    """clip(a x + b, 0, 1) by ELL's clip(0.2 y + 0.5, 0, 1)."""
    source, read = _affine(w, source, read, 5 * a, 5 * b - 2.5)
    return _function(w, source, read, packed_layout(read.size), "hard_sigmoid")


def _clip(w: Writer, source: str, read: MemoryLayout, low: float, high: float) -> str:
    dense = packed_layout(read.size)
    if high >= LARGEST:
        source, read = _affine(w, source, read, 1, -low)
        return _affine(w, _function(w, source, read, dense, "relu"), dense, 1, low)[0]
    if low <= -LARGEST:
        source, read = _affine(w, source, read, -1, high)
        return _affine(w, _function(w, source, read, dense, "relu"), dense, -1, high)[0]
    source = _linear_sigmoid(w, source, read, 1 / (high - low), -low / (high - low))
    return _affine(w, source, dense, high - low, low)[0]


def activation(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.Activation)
    source, read, written = w.source(node), node.input_layouts[0], node.output_layout
    name, first, second = node.function, node.leaky_factor, node.beta
    if name == "leaky_relu":
        return _function(w, source, read, written, name, leakyFactor=first)
    if name == "parametric_relu":
        assert node.alpha is not None
        return parametric(w, source, read, written, node.alpha)
    if name in _ACTIVATIONS:
        return _function(w, source, read, written, name)
    if name in _UNARY:
        return w.add("UnaryOperationNode", {"input": w.dense(node)}, operation=_UNARY[name])
    if name == "linear_sigmoid":
        return _linear_sigmoid(w, source, read, first, second)
    if name == "clip" and first < second:
        return _clip(w, source, read, first, second)
    if name in ("swish", "hard_swish"):
        dense = packed_layout(read.size)
        factor = (
            _function(w, source, read, dense, "sigmoid")
            if name == "swish"
            else _linear_sigmoid(w, source, read, first, second)
        )
        return binary(w, "multiply", (source, factor), (read, dense), written)
    if name == "reciprocal":
        ones = w.constant(np.ones(prod(read.size), np.float32), read.size)
        return binary(w, "divide", (ones, source), (packed_layout(read.size), read), written)
    raise Refused(f"the function {name.replace('_', ' ')}: ELL has none of its nodes compute it")


def parametric(w: Writer, source: str, read: MemoryLayout, written: MemoryLayout, alpha: FloatArray) -> str:
    shape = dict(zip(("alpha_rows", "alpha_columns", "alpha_channels"), alpha.shape, strict=True))
    values = alpha.reshape(-1).astype(np.float64).tolist()
    return _function(w, source, read, written, "parametric_relu", **shape, alpha_values=values)


def binary(
    w: Writer, operation: str, sources: Sequence[str], read: Sequence[MemoryLayout], written: MemoryLayout
) -> str:
    return w.add(
        "BinaryOperationNode", {"input1": sources[0], "input2": sources[1]},
        inputLayout1=read[0], inputLayout2=read[1], operation=operation, outputLayout=written, padding=0,
    )  # fmt: skip
