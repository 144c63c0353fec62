"""The largest or the mean value of windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ellopt.codegen.fuse import Group
from ellopt.codegen.network import Border, Step, c_float
from ellopt.codegen.steps.lowering import Lowering
from ellopt.codegen.weights import WeightFile
from ellopt.model.layers import Pooling


@dataclass(frozen=True, eq=False)
class PoolingStep(Step):
    """Windows of ``size`` that start at (-top, -left) and move by ``stride``.

    Cells outside the tensor, within ``padding``, have the value ``padding.fill``. Cells beyond take no part in a
    maximum and are zeros in a mean.
    """

    kind = "pooling"
    function = "ell_pooling"
    half_function = "ell_half_pooling"
    strided = True
    reads_strided = True

    pooling: Literal["max", "mean"] = field(kw_only=True)
    size: int = field(kw_only=True)
    stride: int = field(kw_only=True)
    padding: Border = field(kw_only=True)

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        p = self.padding
        return {
            "mode": f"ELL_POOL_{self.pooling.upper()}", "size": self.size, "stride": self.stride,
            "top": p.top, "left": p.left, "bottom": p.bottom, "right": p.right, "outside": c_float(p.fill),
        }  # fmt: skip


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    assert isinstance(node, Pooling)
    if node.function not in ("max", "mean"):
        lowering.fail(node, f"unknown pooling {node.function!r}")
    if lowering.borders.reads_own_border(node):
        layout = node.input_layouts[0]
        top, left = layout.offset[:2]
        bottom, right = (layout.extent[d] - layout.offset[d] - layout.size[d] for d in (0, 1))
        fill = lowering.borders.owner(node.inputs[0]).padding_value
        source, padding = lowering.values.read(node), Border(top, left, bottom, right, fill)
    else:
        source, padding = lowering.values.read_whole(node), Border()
    lowering.add(
        PoolingStep(
            group.node_ids, node.type_name, (source,), lowering.values.define(node),
            pooling="max" if node.function == "max" else "mean",
            size=node.pooling_size,
            stride=node.stride,
            padding=padding,
        )
    )  # fmt: skip
