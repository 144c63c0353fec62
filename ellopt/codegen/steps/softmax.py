"""Softmax over all elements."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.codegen.fuse import Group
from ellopt.codegen.network import Step
from ellopt.codegen.steps.lowering import Lowering


@dataclass(frozen=True, eq=False)
class SoftmaxStep(Step):
    kind = "softmax"
    function = "ell_softmax"
    in_place = True


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    source = lowering.values.read(node)
    lowering.add(SoftmaxStep(group.node_ids, node.type_name, (source,), lowering.values.define(node)))
