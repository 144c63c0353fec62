"""How far float32 may be off in one step, in whatever order it sums: the yardstick of every check.

A sum of n products computed in float32 is off by at most gamma_n sum |w| |x| with gamma_n = n u / (1 - n u) and
u = 2^-24 (N. J. Higham: Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). For many terms that is far
too generous, as roundings have both signs: with a probability next to one, n may be replaced by a small multiple of its
root (N. J. Higham, T. Mary: A New Approach to Probabilistic Rounding Error Analysis, 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ellopt.model import layers, reference
from ellopt.model.layers import FloatArray, Node
from ellopt.model.reference import Tensor

#: Half the distance from 1 to the next float32.
UNIT_ROUNDOFF = 2.0**-24
#: A sum of n terms is off by this times the root of n units at most, where that is less than n.
DEVIATIONS = 8.0
#: Units in which exp and tanh, and what is made of them, may be off.
FUNCTION_UNITS = 16.0
#: Below float32's smallest normal number some processors compute with zeros.
SMALLEST = 1e-36
#: Sums of larger magnitude may overflow in one order and not in another.
LARGEST = 1e38


def rounding_limits(nodes: Sequence[Node], buffers: Mapping[str, FloatArray]) -> Tensor:
    """The largest allowed error of each element of the output of ``nodes``, which one step computes: the first, and
    others behind it, element by element.

    ``buffers`` has the flat buffer of each node (see ``reference.buffers``). Infinite where float32 might overflow.
    """
    with np.errstate(all="ignore"):
        magnitude, terms = _first(nodes[0], [buffers[source] for source in nodes[0].inputs])
        extra: Tensor | float = 0.0
        for before, node in zip((None, *nodes[:-1]), nodes, strict=True):
            if before is None and (type(node) in _SUMS or isinstance(node, layers.Output)):
                continue
            if isinstance(node, layers.Activation):
                result = reference.view(buffers[node.node_id], node.output_layout)
                extra = 0.0 if node.function in _EXACT else FUNCTION_UNITS * np.abs(result).astype(np.float64)
                magnitude = magnitude * _slope(node)
            else:
                magnitude = _follow(node, magnitude, buffers, before)
                terms += 2
        units = min(terms, DEVIATIONS * terms**0.5)
        limits: Tensor = UNIT_ROUNDOFF * (units * magnitude + extra) + SMALLEST
    limits = np.broadcast_to(limits, nodes[-1].output_layout.size)
    return np.where(np.isfinite(limits) & (magnitude < LARGEST), limits, np.inf)


#: Activations that round nothing by themselves.
_EXACT = ("relu", "leaky_relu", "parametric_relu", "hard_tanh", "hard_sigmoid")


def _slope(node: layers.Activation) -> Tensor | float:
    if node.function == "leaky_relu":
        return max(1.0, abs(node.leaky_factor))
    if node.function == "parametric_relu" and node.alpha is not None:
        return np.maximum(1.0, np.abs(node.alpha.astype(np.float64)))
    return 1.0


def _follow(node: Node, magnitude: Tensor, buffers: Mapping[str, FloatArray], before: Node | None) -> Tensor:
    """The magnitude behind a node that works element by element."""
    if isinstance(node, layers.Bias):
        return magnitude + np.abs(node.bias)
    if isinstance(node, layers.Scaling):
        return magnitude * np.abs(node.scales)
    if isinstance(node, layers.BatchNormalization):
        return magnitude * np.abs(node.multiplication) + np.abs(node.addition)
    assert isinstance(node, layers.BinaryOperation)
    assert before is not None
    index = 1 - node.inputs.index(before.node_id)
    other = reference.view(buffers[node.inputs[index]], node.input_layouts[index])
    return magnitude + np.abs(other.astype(np.float64))


def _first(node: Node, inputs: Sequence[FloatArray]) -> tuple[Tensor, int]:
    """The sum of the absolute values of a node's terms, element by element, and how many there are."""
    sums = _SUMS.get(type(node))
    if sums is not None:
        return sums(node, [np.abs(values) for values in inputs])
    if isinstance(node, layers.Output):
        return np.zeros(node.output_layout.size), 0
    return np.abs(reference.view(inputs[0], node.input_layouts[0]).astype(np.float64)), 2


def _weighted(node: Node, inputs: list[FloatArray]) -> tuple[Tensor, int]:
    assert isinstance(node, layers.Convolution | layers.FullyConnected)
    positive = replace(node, weights=np.abs(node.weights))
    return reference.compute(positive, inputs).reshape(node.output_layout.size), int(node.weights[0].size) + 2


def _pooled(node: Node, inputs: list[FloatArray]) -> tuple[Tensor, int]:
    """A maximum is exact."""
    assert isinstance(node, layers.Pooling)
    if node.function == "max":
        return np.zeros(node.output_layout.size), 0
    return reference.compute(node, inputs), node.pooling_size**2 + 2


def _probabilities(node: Node, inputs: list[FloatArray]) -> tuple[Tensor, int]:
    """exp(x - max) is off by |x - max| units and the function's own; less than exp(-100) is zero."""
    values = reference.compute(node, inputs)
    return np.broadcast_to(values.max(), values.shape), values.size + 100 + int(FUNCTION_UNITS)


def _combined(node: Node, inputs: list[FloatArray]) -> tuple[Tensor, int]:
    assert isinstance(node, layers.BinaryOperation)
    operation = "add" if node.operation == "subtract" else node.operation
    return reference.compute(replace(node, operation=operation), inputs), 2


_SUMS: Mapping[type[Node], Callable[[Node, list[FloatArray]], tuple[Tensor, int]]] = {
    layers.Convolution: _weighted,
    layers.FullyConnected: _weighted,
    layers.Pooling: _pooled,
    layers.Softmax: _probabilities,
    layers.BinaryOperation: _combined,
}
