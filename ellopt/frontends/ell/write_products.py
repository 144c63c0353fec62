"""Means, sums, interpolation and products in ELL's nodes: pooling, and products of matrices."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ellopt.frontends.ell.layouts import packed_layout
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import MemoryLayout, Node, Shape3
from ellopt.model.loops import collapsed

if TYPE_CHECKING:
    from ellopt.frontends.ell.write import Writer


def pool(w: Writer, function: str, source: str, read: MemoryLayout, written: MemoryLayout, n: int, step: int) -> str:
    return w.layer("Pooling", source, read, written, variant=f"{function}PoolingFunction", poolingSize=n, stride=step)


def _product(
    w: Writer, left: str, right: str, m: int, k: int, n: int, lines: tuple[int, int], turned: tuple[bool, bool]
) -> str:
    port = {"_type": "OutputPort<float>", "_version": "8", "nodeId": "", "name": "output", "type": 1}
    layout = packed_layout((1, m, n))
    return w.add(
        "MatrixMatrixMultiplyNode", {"input1": left, "input2": right},
        output={**port, "layout": _layout_json(layout)}, m=m, n=n, k=k, lda=lines[0], ldb=lines[1], ldc=n,
        transpose1=turned[0], transpose2=turned[1], transposeOutput=False,
    )  # fmt: skip


def _layout_json(layout: MemoryLayout) -> dict[str, Any]:
    fields = {name: list(getattr(layout, name)) for name in ("size", "extent", "offset", "order", "increment")}
    return {"_type": "MemoryLayout", "_version": "0", **fields}


def _pooled(w: Writer, operation: str, source: str, image: MemoryLayout) -> str:
    """One window over all of a square image. A minimum is a maximum of the values with their signs turned."""
    side, _, channels = image.size
    one, signs = packed_layout((1, 1, channels)), np.full(channels, -1, np.float32)
    if operation == "minimum":
        source = w.layer("Scaling", source, image, image, scales=signs)
    found = pool(w, "Mean" if operation == "mean" else "Max", source, image, one, side, side)
    return w.layer("Scaling", found, one, one, scales=signs) if operation == "minimum" else found


def reduction(w: Writer, node: Node) -> str:
    """A mean or a sum is a product with a constant line or column; an extreme of a square image is pooling."""
    assert isinstance(node, layers.Reduction)
    kept, (kept_steps,) = collapsed(node.counts[: node.kept], [node.strides[: node.kept]])
    gone, (gone_steps,) = collapsed(node.counts[node.kept :], [node.strides[node.kept :]])
    inner, outer = prod(kept), prod(gone)
    per_channel = kept_steps in ([], [1]) and gone_steps in ([], [inner])
    last = gone_steps in ([], [1]) and kept_steps in ([], [outer])
    side = isqrt(outer)
    if (per_channel or last) and side * side == outer and node.operation != "sum":
        image = packed_layout((side, side, inner))
        if per_channel:
            source = w.reinterpret(w.dense(node), image)
        else:
            turned = replace(image, order=(2, 0, 1), increment=(outer, side, 1))
            source = w.reorder(w.reinterpret(w.dense(node), turned), turned, image)
        return w.reinterpret(_pooled(w, node.operation, source, image), node.output_layout)
    if node.operation not in ("mean", "sum"):
        raise Refused(f"the {node.operation} over this: ELL has it over square images only")
    share = np.float32(1 / outer if node.operation == "mean" else 1)
    source, ones = w.dense(node), w.constant(np.full(outer, share), (1, 1, outer))
    if per_channel:
        made = _product(w, ones, source, 1, outer, inner, (outer, inner), (False, False))
    elif last:
        made = _product(w, source, ones, inner, outer, 1, (outer, 1), (False, False))
    else:
        raise Refused("over axes that are neither the first nor the last in memory")
    return w.reinterpret(made, node.output_layout)


def axis_weights(w: Writer, node: Node) -> str:
    """A product with a matrix that has each output's weights in its line."""
    assert isinstance(node, layers.AxisWeights)
    count = len(node.indices)
    matrix = np.zeros((count, node.length))
    for tap in range(node.indices.shape[1]):
        np.add.at(matrix, (np.arange(count), node.indices[:, tap]), node.weights[:, tap].astype(np.float64))
    weights = w.constant(matrix.astype(np.float32), (1, count, node.length))
    source = w.dense(node)
    outer, inner = node.outer, node.inner
    if outer > 1:
        source, read = w.shaped(source, (outer, node.length, inner))
        turned = replace(read, order=(1, 0, 2), increment=(outer * inner, inner, 1))
        source = w.reorder(source, read, turned)
    lines = (node.length, outer * inner)
    made = _product(w, weights, source, count, node.length, outer * inner, lines, (False, False))
    if outer > 1:
        size: Shape3 = (outer, count, inner)
        turned = replace(packed_layout(size), order=(1, 0, 2), increment=(outer * inner, inner, 1))
        made = w.reorder(w.reinterpret(made, turned), turned, packed_layout(size))
    return w.reinterpret(made, node.output_layout)


def matrix_product(w: Writer, node: Node) -> str:
    assert isinstance(node, layers.MatrixProduct)
    if prod(node.batches) != 1:
        raise Refused("of several matrices at once: ELL has it for two")
    m, k, n = node.rows, node.depth, node.columns
    turned, lines = [], []
    for (down, across), (rows, columns) in ((node.left, (m, k)), (node.right, (k, n))):
        is_turned = not (across == 1 or columns == 1) or (rows > 1 and down < columns)
        turned.append(is_turned)
        lines.append(across if is_turned and columns > 1 else rows if is_turned else down if rows > 1 else columns)
        if is_turned and down != 1 and rows > 1:
            raise Refused("of matrices whose elements lie apart")
    made = _product(w, w.dense(node), w.dense(node, 1), m, k, n, (lines[0], lines[1]), (turned[0], turned[1]))
    return w.reinterpret(made, node.output_layout)
