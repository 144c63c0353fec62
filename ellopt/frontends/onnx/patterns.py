"""Functions that files write in pieces, x * clip(x + 3, 0, 6) / 6 and the like, as the one function that they are.

Exporters write HardSwish, Gelu, Mish and their like so; as one function it is computed together with the convolution
before it.
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
    """``factor`` times a function of a * x + b, and ``shift`` added; ``nodes`` compute it."""

    function: str
    factor: float
    shift: float
    a: float
    b: float
    nodes: tuple[str, ...]


#: Function of the gate -> that of x times the gate.
_PRODUCTS = {"linear_sigmoid": "hard_swish", "sigmoid": "swish", "erf": "gelu", "tanh of softplus": "mish"}
#: What a gate is to be times 1, where it has a factor of its own, and what is in front of x in it, where that is fixed:
#: gelu(x) = x (1 + erf(x / sqrt 2)) / 2.
_FACTORS = {"erf": 0.5}
_SCALES = {"erf": 0.5**0.5, "sigmoid": 1.0, "tanh of softplus": 1.0}


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
        for read, gate_id in (node.inputs, node.inputs[::-1]):
            x, before, scaled = self._unscaled(read)
            gate = self._gate(gate_id, x)
            if gate is None and scaled:
                x, before, scaled = read, 1.0, ()
                gate = self._gate(gate_id, x)
            if gate is None or gate.nodes[0] in scaled:
                continue
            last, factor = self._scaled(node, gate.factor * before / _FACTORS.get(gate.function, 1.0))
            if abs(factor - 1) > _SAME or not self._is_whole(gate):
                continue
            self.gone.update(gate.nodes, scaled)
            if last is not node:
                self.gone.add(node.node_id)
            self.new[last.node_id] = Activation(
                last.node_id, last.type_name, (x,), (node.input_layouts[0],), last.output_layout, name=last.name,
                function=_PRODUCTS[gate.function],
                leaky_factor=0.0 if gate.function in _SCALES else _float32(gate.a),
                beta=0.0 if gate.function in _SCALES else _float32(gate.b),
            )  # fmt: skip
            return

    @staticmethod
    def _is_whole(gate: _Gate) -> bool:
        """Whether the numbers of a gate are those of a function in _PRODUCTS, but for its factor."""
        shift = gate.factor if gate.function == "erf" else 0.0
        scale = _SCALES.get(gate.function)
        fixed = scale is None or (abs(gate.a / scale - 1) <= _SAME and gate.b == 0.0)
        return fixed and abs(gate.shift - shift) <= _SAME * abs(gate.factor)

    def _unscaled(self, node_id: str) -> tuple[str, float, tuple[str, ...]]:
        """What ``node_id`` is a multiple of, how much, and the node that multiplies, if only one reads that."""
        node = self.by_id[node_id]
        affine = self._uniform(node)
        if affine is None or affine[1] != 0.0 or len(self.readers[node_id]) != 1:
            return node_id, 1.0, ()
        return node.inputs[0], affine[0], (node_id,)

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
        factor, shift, a, b = 1.0, 0.0, 1.0, 0.0
        while node_id != x:
            node = self.by_id[node_id]
            if len(node.inputs) != 1 or len(self.readers[node_id]) != 1 or node.input_layouts[0] != node.output_layout:
                return None
            affine = self._uniform(node)
            if affine is not None and found:
                b, a = b + a * affine[1], a * affine[0]
            elif affine is not None:
                shift += factor * affine[1]
                factor *= affine[0]
            elif isinstance(node, Activation) and not found:
                if node.function == "clip" and node.leaky_factor == 0.0 and node.beta > 0.0:
                    found, a, factor = "linear_sigmoid", 1 / node.beta, factor * node.beta
                elif node.function == "linear_sigmoid":
                    found, a, b = node.function, node.leaky_factor, node.beta
                elif node.function in ("sigmoid", "erf", "tanh"):
                    found = node.function
                else:
                    return None
            elif isinstance(node, Activation) and (found, node.function, a, b) == ("tanh", "softplus", 1.0, 0.0):
                found = "tanh of softplus"
            else:
                return None
            chain.append(node_id)
            node_id = node.inputs[0]
        return _Gate(found, factor, shift, a, b, tuple(chain)) if found in _PRODUCTS else None

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
