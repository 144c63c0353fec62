"""Nodes that compute element by element, with and without broadcasting; sums; products of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ellopt.frontends.ell.layouts import flat_layout, packed_layout, read_layout
from ellopt.frontends.ell.raw import RawNode
from ellopt.model import layers
from ellopt.model.layers import MemoryLayout, Node, Shape3

Outputs = Mapping[str, MemoryLayout]

#: ELL's names of functions of one number -> those of ``Activation``.
FUNCTIONS = {
    "abs": "absolute",
    "cos": "cosine",
    "exp": "exponential",
    "hardSigmoid": "hard_sigmoid",
    "hardTanh": "hard_tanh",
    "log": "logarithm",
    "sigmoid": "sigmoid",
    "sign": "sign",
    "sin": "sine",
    "sqrt": "square_root",
    "tanh": "tanh",
}
#: ELL's names, of today and of older versions, -> those of ``Broadcast``.
OPERATIONS = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "coordinatewiseMultiply": "multiply",
    "divide": "divide",
    "coordinatewiseDivide": "divide",
}
#: Those of ``BinaryOperation``.
EQUAL_SIZES = {name: "coordinatewiseMultiply" if own == "multiply" else own for name, own in OPERATIONS.items()}
#: Functions that a BroadcastUnaryFunctionNode names in its type.
_FUNCTION_TYPES = {
    "ReLUActivationFunction": "relu",
    "SigmoidActivationFunction": "sigmoid",
    "TanhActivationFunction": "tanh",
    "HardSigmoidActivationFunction": "hard_sigmoid",
    "HardTanhActivationFunction": "hard_tanh",
    "AbsFunction": "absolute",
    "ExpFunction": "exponential",
    "LogFunction": "logarithm",
    "SquareRootFunction": "square_root",
}


def operation_of(raw: RawNode, known: Mapping[str, str]) -> str:
    """What the node's operation is called here. Raises ModelFormatError for others."""
    operation = raw.fields.text("operation")
    if operation not in known:
        truth = " of truth values" if operation.startswith("logical") else ""
        raw.fail(f"the operation {operation}{truth} is not supported; known: {', '.join(known)}")
    return known[operation]


def unary(raw: RawNode, outputs: Outputs) -> Node:
    """UnaryOperationNode: all of memory, in the order in which it lies."""
    source = raw.source("input", outputs)
    written = outputs[source]
    read = written if written.extent == written.size else flat_layout(written.elements)
    return _function(raw, (source,), (read,), read, 0.0)


def broadcast_unary(raw: RawNode, outputs: Outputs) -> Node:
    source = raw.source("input", outputs)
    read, written, padding = outputs[source], read_layout(raw.fields, "outputLayout"), _padding(raw, "padding")
    _same_size(raw, read, written)
    return _function(raw, (source,), (read,), written, padding)


def _function(
    raw: RawNode, sources: tuple[str, ...], read: tuple[MemoryLayout, ...], written: MemoryLayout, padding: float
) -> Node:
    operation = operation_of(raw, {**FUNCTIONS, "square": "square", "softmax": "softmax"})
    if operation == "square":
        common = raw.common(sources * 2, read * 2, written, padding)
        return layers.BinaryOperation(**common, operation="coordinatewiseMultiply")
    common = raw.common(sources, read, written, padding)
    if operation == "softmax":
        return layers.Softmax(**common)
    return layers.Activation(**common, function=operation)


def broadcast_binary(raw: RawNode, outputs: Outputs) -> Node:
    sources = (raw.source("input1", outputs), raw.source("input2", outputs))
    read = (outputs[sources[0]], outputs[sources[1]])
    written = read_layout(raw.fields, "outputLayout")
    common = raw.common(sources, read, written, _padding(raw, "padding"))
    if read[0].size == read[1].size == written.size:
        return layers.BinaryOperation(**common, operation=operation_of(raw, EQUAL_SIZES))
    return _broadcast(raw, operation_of(raw, OPERATIONS), common)


def broadcast_ternary(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """A product and a sum: the only operation that there is."""
    sources = tuple(raw.source(f"input{k}", outputs) for k in (1, 2, 3))
    read = tuple(outputs[source] for source in sources)
    operation_of(raw, {"fma": "fma"})
    size = _broadcast_size(raw, read[0].size, read[1].size)
    common = raw.aside(f"{raw.node_id}.product", sources[:2], read[:2], packed_layout(size))
    product = _broadcast(raw, "multiply", common)
    written = read_layout(raw.fields, "outputLayout")
    names, layouts = (product.node_id, sources[2]), (product.output_layout, read[2])
    return product, _broadcast(raw, "add", raw.common(names, layouts, written, _padding(raw, "padding")))


def broadcast_function(raw: RawNode, outputs: Outputs) -> Node:
    """BroadcastUnaryFunctionNode, which names its function in its type."""
    source = raw.source("primaryInput", outputs)
    read, written = raw.layout_for("inputLayout", source, outputs), read_layout(raw.fields, "outputLayout")
    _same_size(raw, read, written)
    if raw.variant not in _FUNCTION_TYPES:
        raw.fail(f"the function {raw.variant or 'unknown'} is not supported")
    common = raw.common((source,), (read,), written, _padding(raw, "paddingValue"))
    return layers.Activation(**common, function=_FUNCTION_TYPES[raw.variant])


def broadcast_linear(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """BroadcastLinearFunctionNode: x * a + b, with a and b along one dimension; one of them may be missing."""
    source = raw.source("primaryInput", outputs)
    read, written = raw.layout_for("inputLayout", source, outputs), read_layout(raw.fields, "outputLayout")
    _same_size(raw, read, written)
    rank = len(raw.fields.object("inputLayout").integers("size")) if "inputLayout" in raw.fields else 3
    place = raw.fields.integer("broadcastDimension", 0, 2) + 3 - rank
    if not 0 <= place < 3:
        raw.fail(f"broadcastDimension {place + rank - 3} is none of its input, which has {rank}")
    dimension = read.order[place]
    given = [(key, operation) for key, operation in (("secondaryInput1", "multiply"), ("secondaryInput2", "add"))]
    given = [(key, operation) for key, operation in given if raw.ports.get(key)]
    if not given:
        return (layers.Reorder(**raw.common((source,), (read,), written, _padding(raw, "paddingValue"))),)
    made: list[Node] = []
    for key, operation in given:
        vector = raw.source(key, outputs)
        if outputs[vector].elements != read.size[dimension]:
            raw.fail(f"{key} has {outputs[vector].elements} elements, the dimension has {read.size[dimension]}")
        names, layouts = (source, vector), (read, flat_layout(read.size[dimension]))
        last = key == given[-1][0]
        dense = packed_layout(read.size)
        common = (
            raw.common(names, layouts, written, _padding(raw, "paddingValue"))
            if last
            else raw.aside(f"{raw.node_id}.product", names, layouts, dense)
        )
        along = tuple(int(axis == dimension) for axis in range(3))
        strides = (_strides(read.size, read.size), along)
        made.append(layers.Broadcast(**common, operation=operation, counts=read.size, strides=strides))
        source, read = made[-1].node_id, dense
    return tuple(made)


def sum_(raw: RawNode, outputs: Outputs) -> Node:
    """SumNode: of all of memory."""
    source = raw.source("input", outputs)
    elements = outputs[source].elements
    common = raw.common((source,), (flat_layout(elements),), flat_layout(1))
    return layers.Reduction(**common, operation="sum", counts=(elements,), strides=(1,), kept=0)


def matrix_product(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """MatrixMatrixMultiplyNode: m x k times k x n. A transposed result is written as n x m."""
    sources = (raw.source("input1", outputs), raw.source("input2", outputs))
    m, n, k, lda, ldb, ldc = (raw.fields.integer(key, 1) for key in ("m", "n", "k", "lda", "ldb", "ldc"))
    first, second, transposed = (_flag(raw, key) for key in ("transpose1", "transpose2", "transposeOutput"))
    left, right = (1, lda) if first else (lda, 1), (1, ldb) if second else (ldb, 1)
    counts = tuple(outputs[source].elements for source in sources)
    for key, count, (rows, columns), (down, across) in (
        ("input1", counts[0], (m, k), left),
        ("input2", counts[1], (k, n), right),
    ):
        if (rows - 1) * down + (columns - 1) * across >= count:
            raw.fail(f"{key} has {count} elements, which is no matrix of {rows} x {columns} with lines of that length")
    if ldc != (m if transposed else n):
        raw.fail(f"its result has lines of {ldc} elements for matrices of {m} x {n}; only dense ones are supported")
    read = (flat_layout(counts[0]), flat_layout(counts[1]))
    size: Shape3 = (1, n, m) if transposed else (1, m, n)
    sizes: dict[str, Any] = {"rows": size[1], "depth": k, "columns": size[2], "left": left, "right": right}
    if transposed:
        sources, read = sources[::-1], read[::-1]
        sizes |= {"left": right[::-1], "right": left[::-1]}
    written = packed_layout(size)
    port = raw.fields.object("output") if isinstance(raw.fields.data.get("output"), dict) else None
    if port is not None and "layout" in port:
        written = read_layout(port, "layout")
        if written.elements != m * n:
            raw.fail(f"its output has {written.elements} elements, its matrix {m * n}")
    return in_memory(raw, written, lambda common: layers.MatrixProduct(**common, **sizes), sources, read)


def in_memory(
    raw: RawNode, written: MemoryLayout, make: Any, sources: tuple[str, ...], read: tuple[MemoryLayout, ...]
) -> tuple[Node, ...]:
    """A node that fills memory from its first element on, whatever ``written`` calls it."""
    if written.order == (0, 1, 2) and written.extent == written.size:
        return (make(raw.common(sources, read, written)),)
    flat = flat_layout(written.elements)
    node: Node = make(raw.aside(f"{raw.node_id}.values", sources, read, flat))
    return node, layers.Reinterpret(**raw.common((node.node_id,), (flat,), written))


def _broadcast(raw: RawNode, operation: str, common: dict[str, Any]) -> Node:
    sizes = [layout.size for layout in common["input_layouts"]]
    size = common["output_layout"].size
    if _broadcast_size(raw, *sizes) != size:
        raw.fail(f"its output {_shape(size)} is not what its inputs make: {', '.join(map(_shape, sizes))}")
    strides = tuple(_strides(own, size) for own in sizes)
    return layers.Broadcast(**common, operation=operation, counts=size, strides=strides)


def _broadcast_size(raw: RawNode, *sizes: Shape3) -> Shape3:
    try:
        rows, columns, channels = np.broadcast_shapes(*sizes)
    except ValueError:
        raw.fail(f"its inputs cannot be broadcast to one size: {', '.join(map(_shape, sizes))}")
    return (rows, columns, channels)


def _strides(own: Shape3, size: Shape3) -> Shape3:
    """Those of a dense tensor; 0 where it has one element for many."""
    steps = (own[1] * own[2], own[2], 1)
    found = tuple(0 if n == 1 and whole != 1 else step for n, whole, step in zip(own, size, steps, strict=True))
    return (found[0], found[1], found[2])


def _flag(raw: RawNode, key: str) -> bool:
    """A truth value, which archives write as a number, too; false where it is missing."""
    value = raw.fields.data.get(key, False)
    if value not in (True, False, 0, 1, "true", "false"):
        raw.fail(f"{key} must be true or false, not {value!r:.40}")
    return value in (True, 1, "true")


def _padding(raw: RawNode, key: str) -> float:
    return raw.fields.number(key) if key in raw.fields else 0.0


def _same_size(raw: RawNode, read: MemoryLayout, written: MemoryLayout) -> None:
    if read.size != written.size:
        raw.fail(f"it reads {_shape(read.size)} but writes {_shape(written.size)}")


def _shape(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
