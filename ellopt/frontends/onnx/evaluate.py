"""What a node makes of constants, by ``onnx``'s reference evaluator, in the operator's version that the file has."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ellopt.frontends.onnx.file import Array


def evaluated(node: Any, opset: int, constants: Mapping[str, Array]) -> list[Any]:
    """The outputs of ``node``. Raises what the evaluator raises, of nodes that a file made up."""
    if node.op_type in ("Softmax", "LogSoftmax") and opset < 13:
        return [_together(node, opset, constants[node.input[0]])]
    # Of a node alone the evaluator takes the newest version, of a graph the one that it is told.
    read, made = (
        [helper.make_value_info(name, onnx.TypeProto()) for name in dict.fromkeys(names) if name]
        for names in (node.input, node.output)
    )
    graph = helper.make_graph([node], "constant", read, made)
    try:
        evaluator = ReferenceEvaluator(graph, opsets={"": opset})
    except RuntimeError:  # it has only newer versions of some, such as DequantizeLinear
        evaluator = ReferenceEvaluator(graph, opsets={"": onnx.defs.onnx_opset_version()})
    with np.errstate(all="ignore"):
        found = iter(evaluator.run(None, dict(constants)))
    return [next(found) if name else None for name in node.output]


def _together(node: Any, opset: int, values: Array) -> Array:
    """Softmax as it was before version 13, over all axes from ``axis`` on: the evaluator has no such version."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    rows = prod(values.shape[: axis + values.ndim if axis < 0 else axis])
    flat = values.reshape(rows, -1)
    newer = helper.make_node(node.op_type, list(node.input), list(node.output), axis=1)
    [found] = evaluated(newer, max(opset, 13), {node.input[0]: flat})
    return np.asarray(found).reshape(values.shape)
