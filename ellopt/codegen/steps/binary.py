"""Two tensors combined element by element."""

from __future__ import annotations

from dataclasses import dataclass, field

from ellopt.codegen.fuse import Group
from ellopt.codegen.network import Step
from ellopt.codegen.steps.lowering import Lowering
from ellopt.codegen.weights import WeightFile
from ellopt.model.layers import BinaryOperation

#: An operation of the model -> its name in C.
OPERATIONS = {
    "add": "ELL_ADD",
    "subtract": "ELL_SUBTRACT",
    "coordinatewiseMultiply": "ELL_MULTIPLY",
    "divide": "ELL_DIVIDE",
}


@dataclass(frozen=True, eq=False)
class BinaryStep(Step):
    kind = "binary"
    function = "ell_binary"
    half_function = "ell_half_binary"
    strided = True
    reads_strided = True
    in_place = True

    operation: str = field(kw_only=True)

    @property
    def takes_halves(self) -> bool:
        """No division: what divides may be as good as nothing."""
        return super().takes_halves and self.operation != "divide"

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        return {"mode": OPERATIONS[self.operation]}


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    assert isinstance(node, BinaryOperation)
    if node.operation not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        lowering.fail(node, f"unknown operation {node.operation!r}; known: {known}")
    if any(layout.size != node.output_layout.size for layout in node.input_layouts):
        lowering.fail(node, "its operands differ in size")
    sources = (lowering.values.read(node, 0), lowering.values.read(node, 1))
    activation, leaky, beta = group.activation
    lowering.add(
        BinaryStep(
            group.node_ids, node.type_name, sources, lowering.values.define(group.last),
            activation, leaky, beta, operation=node.operation,
        )
    )  # fmt: skip
