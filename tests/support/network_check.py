"""Whether a compiled network computes what the NumPy reference computes, step by step.

Every step is judged from the values that the compiled network gave it, so that errors do not add up: a step may be off
by what float32 in any order of summation may make of the sizes of its terms, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.codegen.network import ConvolutionStep, Step
from ellopt.model import layers
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray, Node
from tests.support.networks import CompiledNetwork

Tensor = npt.NDArray[np.float64]

_DIRECT, _TRANSFORMED = 3e-5, 1e-3
_LARGEST = float(np.finfo(np.float32).max)


class _Local:
    """The buffers of nodes, as far as measured; the reference makes the others of them."""

    def __init__(self, model: Model) -> None:
        self._by_id = model.by_id
        self._buffers: dict[str, FloatArray] = {}

    def measured(self, node_id: str, values: FloatArray) -> None:
        self._buffers[node_id] = self._by_id[node_id].with_border(values)

    def buffer(self, node_id: str) -> FloatArray:
        if node_id in self._buffers:
            return self._buffers[node_id]
        node = self._by_id[node_id]
        return node.write([self.buffer(source) for source in node.inputs])

    def tensor(self, node_id: str) -> FloatArray:
        return self._by_id[node_id].output_layout.view(self.buffer(node_id))

    def terms(self, node_id: str) -> FloatArray:
        """The sum of the sizes of all that a node's values are made of, as a flat buffer; infinite terms left out."""
        node = self._by_id[node_id]
        if node_id in self._buffers or isinstance(node, layers.Constant | layers.Input):
            return np.abs(np.nan_to_num(self.buffer(node_id), nan=0, posinf=0, neginf=0))
        sources = [self.terms(source) for source in node.inputs]
        if isinstance(node, layers.Reinterpret | layers.Output):
            return sources[0]
        with np.errstate(all="ignore"):
            sizes = np.minimum(_SIZES.get(type(node), type(node).compute)(_positive(node), sources), 1e39)
            return np.abs(node.with_border(sizes))


def _positive(node: Node) -> Node:
    """The node with sizes for weights, and sums for differences."""
    changed: dict[str, Any] = {key: np.abs(value) for key, value in vars(node).items() if isinstance(value, np.ndarray)}
    if isinstance(node, layers.BinaryOperation | layers.Broadcast) and node.operation == "subtract":
        return replace(node, operation="add")
    return replace(node, **changed) if changed else node


def _activation(node: Node, sources: list[FloatArray]) -> Tensor:
    assert isinstance(node, layers.Activation)
    slope = np.maximum(1, abs(node.leaky_factor) if node.alpha is None else node.alpha)
    inside: Tensor = node.inside(sources) * slope + 1
    return inside * np.exp(inside) if node.function == "exponential" else inside


def _softmax(node: Node, sources: list[FloatArray]) -> Tensor:
    inside: Tensor = node.inside(sources)
    result: Tensor = 1 + 2 * inside.max() + 0 * inside
    return result


def _quotient(node: Node, sources: list[FloatArray]) -> Tensor:
    result = node.compute(sources)
    return np.where(np.isfinite(result), result, 0)


_SIZES: dict[type[Node], Callable[[Node, list[FloatArray]], Tensor]] = {
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.BinaryOperation: _quotient,
    layers.Broadcast: _quotient,
    layers.AxisSoftmax: _softmax,
}


def check_network(compiled: CompiledNetwork, model: Model, values: FloatArray, threads: int) -> None:
    """Run the compiled network on ``values``; AssertionError for a step or an output that is not the reference's."""
    local = _Local(model)
    local.measured(model.input.node_id, values.reshape(model.input.output_layout.size))
    compiled.start(values, threads)
    try:
        for i, step in enumerate(compiled.network.steps):
            found = compiled.step(i)
            if step.kind == "copy" and compiled.network.tensors[step.output].place != "output":
                continue
            node = model.by_id[step.node_ids[-1]]
            found = found.reshape(node.output_layout.size)
            with np.errstate(all="ignore"):
                wanted, terms = local.tensor(node.node_id), local.terms(node.node_id)
                _compare(step, compiled, found, wanted, node.output_layout.view(terms))
            local.measured(node.node_id, found)
        wanted = local.tensor(model.output.node_id).reshape(-1)
        assert np.array_equal(compiled.arrays["output"], wanted, equal_nan=True), "output"
    finally:
        compiled.stop()


def _compare(step: Step, compiled: CompiledNetwork, found: FloatArray, wanted: FloatArray, terms: FloatArray) -> None:
    what = f"step {step.kind} of nodes {step.node_ids}"
    spreads = isinstance(step, ConvolutionStep) and compiled.transformed
    if spreads:
        # Sums of several pixels or filters: what is not a number, or infinite, may spread to neighbours.
        terms = np.broadcast_to(terms.max(), terms.shape)
        known = np.isfinite(wanted) & np.isfinite(found) & (terms < _LARGEST / 1e6)
        assert not (np.isnan(wanted) & ~np.isnan(found) & (terms < _LARGEST / 1e6)).any(), f"{what}: NaN is lost"
        if np.isfinite(compiled.read(step)).all():
            assert (np.isfinite(found) | (terms >= _LARGEST / 1e6)).all(), f"{what}: {found}"
    else:
        fits = terms <= _LARGEST
        assert np.array_equal(np.isnan(found[fits]), np.isnan(wanted[fits])), f"{what}: NaN: {found} is not {wanted}"
        known = fits & ~np.isnan(wanted)
    error = np.where(found == wanted, 0, np.abs(found.astype(np.float64) - wanted))[known]
    allowed = (_TRANSFORMED if spreads else _DIRECT) * terms.astype(np.float64)[known] + 1e-37
    assert (error <= allowed).all(), f"{what}: off by {error.max()}: {found} is not {wanted}"
