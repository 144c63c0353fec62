"""Fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass, field

from ellopt.codegen.fold import fold
from ellopt.codegen.fuse import Group
from ellopt.codegen.network import Step
from ellopt.codegen.steps.lowering import Lowering
from ellopt.codegen.weights import WeightFile
from ellopt.model.layers import FloatArray, FullyConnected


@dataclass(frozen=True, eq=False)
class FullyConnectedStep(Step):
    """``weights``: [output, row * column * channel]; outputs, too, are in the order (row, column, channel)."""

    kind = "fully_connected"
    function = "ell_fully_connected"

    weights: FloatArray = field(kw_only=True)
    bias: FloatArray = field(kw_only=True)

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        return {"weights": f"{weights.add(self.weights)}u", "shift": f"{weights.add(self.bias)}u"}


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    assert isinstance(node, FullyConnected)
    source = lowering.values.read(node)
    rows, columns, channels = node.output_layout.size
    affine = fold(group.nodes[1:], channels).repeated(rows * columns)
    activation, leaky, beta = group.activation
    lowering.add(
        FullyConnectedStep(
            group.node_ids, node.type_name, (source,), lowering.values.define(group.last),
            activation, leaky, beta, weights=affine.scaled(node.weights), bias=affine.shift,
        )
    )  # fmt: skip
