"""Products of two computed matrices, and the places of extremes (runtime/ellopt_products.c)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ellopt.codegen.fuse import Group
from ellopt.codegen.steps.general import GeneralStep
from ellopt.codegen.steps.lowering import Lowering
from ellopt.model.layers import AxisExtreme, MatrixProduct


@dataclass(frozen=True, eq=False)
class ProductStep(GeneralStep):
    kind = "product"
    function = "ell_products"


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    slots: tuple[int, ...] = ()
    if isinstance(node, AxisExtreme):
        numbers = [node.outer, node.length, node.inner, int(node.smallest), int(node.last)]
        loops = "ELL_AXIS_EXTREME"
    else:
        assert isinstance(node, MatrixProduct)
        numbers = [0, 0, node.rows, node.depth, node.columns, *node.left, *node.right, len(node.batches)]
        for axis in zip(node.batches, node.left_batches, node.right_batches, strict=True):
            numbers += axis
        loops, slots = "ELL_MATRIX_PRODUCT", (0, 1)
    sources = tuple(lowering.values.read(node, k) for k in range(len(node.inputs)))
    lowering.add(
        ProductStep(
            group.node_ids, node.type_name, sources, lowering.values.define(node),
            loops=loops, mode=0, numbers=np.asarray(numbers, np.int32), slots=slots, weights=None, fill=0.0,
        )
    )  # fmt: skip
