"""Sums and products of each channel, and activations, by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

from ellopt.codegen.fold import fold
from ellopt.codegen.fuse import Group
from ellopt.codegen.network import Step
from ellopt.codegen.steps.lowering import Lowering
from ellopt.codegen.weights import WeightFile
from ellopt.model.layers import Activation, FloatArray


@dataclass(frozen=True, eq=False)
class ElementwiseStep(Step):
    """x * scale + shift per channel, then the activation. ``alpha``: parametric ReLU's, of the tensor's size."""

    kind = "elementwise"
    function = "ell_elementwise"
    half_function = "ell_half_elementwise"
    strided = True
    reads_strided = True
    in_place = True

    scale: FloatArray | None = field(kw_only=True, default=None)
    shift: FloatArray | None = field(kw_only=True, default=None)
    alpha: FloatArray | None = field(kw_only=True, default=None)

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        named = {"weights": self.scale, "shift": self.shift, "alpha": self.alpha}
        return {name: f"{weights.add(values)}u" for name, values in named.items() if values is not None}


def lower(lowering: Lowering, group: Group) -> None:
    node, last = group.first, group.last
    source = lowering.values.read(node)
    affine = fold(group.nodes, node.output_layout.size[2])
    activation, leaky, beta = group.activation
    alone = isinstance(node, Activation)
    lowering.add(
        ElementwiseStep(
            group.node_ids, node.type_name, (source,), lowering.values.define(last),
            activation, leaky, beta,
            scale=None if alone else affine.scale,
            shift=None if alone else affine.shift,
            alpha=last.alpha if isinstance(last, Activation) else None,
        )
    )  # fmt: skip
