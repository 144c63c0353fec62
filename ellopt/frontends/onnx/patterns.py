"""Functions that files write in pieces, x * clip(x + 3, 0, 6) / 6 and the like, as the one function that they are.

Exporters write HardSwish and its like so; as one function it is computed together with the convolution before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers import Activation, BinaryOperation, Node, PerChannel

#: Numbers of float32 that are meant to be one another's inverses differ by less.
_SAME = 1e-6


def with_whole_functions(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, where x * f(x) that is a function of its own became that function. Nobody else reads what lies
    between. ``nodes`` is in order of computation, and so is the result."""
    return _Patterns(list(nodes)).result()


@dataclass(frozen=True)
class _Gate:
    """``factor`` times a function between 0 and 1 of a * x + b; ``nodes`` compute it."""

    function: str
    factor: float
    a: float
    b: float
    nodes: tuple[str, ...]


#: Function of the gate -> that of x times the gate.
_PRODUCTS = {"linear_sigmoid": "hard_swish", "sigmoid": "swish"}


@dataclass
class _Patterns:
    nodes: list[Node]
    by_id: dict[str, Node] = field(default_factory=dict)
    readers: dict[str, list[Node]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    new: dict[str, Node] = field(default_factory=dict)

    def result(self) -> list[Node]:
        self.by_id = {node.node_id: node for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                self.readers.setdefault(source, []).append(node)
        for node in self.nodes:
            if isinstance(node, BinaryOperation) and node.operation == "coordinatewiseMultiply":
                self._product(node)
        return [self.new.get(node.node_id, node) for node in self.nodes if node.node_id not in self.gone]

    def _product(self, node: BinaryOperation) -> None:
        if node.input_layouts[0] != node.input_layouts[1] or node.input_layouts[0] != node.output_layout:
            return
        for x, gate_id in (node.inputs, node.inputs[::-1]):
            gate = self._gate(gate_id, x)
            if gate is None:
                continue
            last, factor = self._scaled(node, gate.factor)
            if abs(factor - 1) > _SAME or (gate.function == "sigmoid" and (gate.a, gate.b) != (1.0, 0.0)):
                continue
            self.gone.update(gate.nodes)
            if last is not node:
                self.gone.add(node.node_id)
            self.new[last.node_id] = Activation(
                last.node_id, last.type_name, (x,), (node.input_layouts[0],), last.output_layout, name=last.name,
                function=_PRODUCTS[gate.function], leaky_factor=_float32(gate.a), beta=_float32(gate.b),
            )  # fmt: skip
            return

    def _scaled(self, node: Node, factor: float) -> tuple[Node, float]:
        """The product with a number behind ``node``, if there is one, and the factor with it."""
        readers = self.readers.get(node.node_id, [])
        if len(readers) == 1 and abs(factor - 1) > _SAME:
            affine = self._uniform(readers[0])
            if affine is not None and affine[1] == 0.0:
                return readers[0], factor * affine[0]
        return node, factor

    def _gate(self, node_id: str, x: str) -> _Gate | None:
        """What ``node_id`` computes of ``x``, if it is a gate and nobody else reads it."""
        chain: list[str] = []
        found = ""
        factor, a, b = 1.0, 1.0, 0.0
        while node_id != x:
            node = self.by_id[node_id]
            if len(node.inputs) != 1 or len(self.readers[node_id]) != 1 or node.input_layouts[0] != node.output_layout:
                return None
            affine = self._uniform(node)
            if affine is not None and found:
                b, a = b + a * affine[1], a * affine[0]
            elif affine is not None and affine[1] == 0.0:
                factor *= affine[0]
            elif isinstance(node, Activation) and not found:
                if node.function == "clip" and node.leaky_factor == 0.0 and node.beta > 0.0:
                    found, a, factor = "linear_sigmoid", 1 / node.beta, factor * node.beta
                elif node.function == "linear_sigmoid":
                    found, a, b = node.function, node.leaky_factor, node.beta
                elif node.function == "sigmoid":
                    found = node.function
                else:
                    return None
            else:
                return None
            chain.append(node_id)
            node_id = node.inputs[0]
        return _Gate(found, factor, a, b, tuple(chain)) if found else None

    @staticmethod
    def _uniform(node: Node) -> tuple[float, float] | None:
        """The scale and the shift of a node that has the same for all channels."""
        if not isinstance(node, PerChannel):
            return None
        channels = node.output_layout.size[2]
        scale, shift = node.combined(np.ones(channels), np.zeros(channels))
        if (scale != scale[0]).any() or (shift != shift[0]).any():
            return None
        return float(scale[0]), float(shift[0])


def _float32(value: float) -> float:
    return float(np.float32(value))
