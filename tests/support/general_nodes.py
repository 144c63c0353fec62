"""Nodes of ``.ell`` archives over memory of any form, drawn by hypothesis for ``network_generator``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from hypothesis import strategies as st

from ellopt.frontends.ell.operations import FUNCTIONS
from tests.support.drawn_layouts import ORDERS, Layout, dense, layouts, layouts_of_elements

#: What a generator of networks has: ``draw``, ``add``, ``source``, ``part``, ``reorder``, ``written``, ``floats``, ...
Builder = Any

UNARY = (*FUNCTIONS, "square", "softmax")
BINARY = ("add", "subtract", "multiply", "coordinatewiseMultiply", "divide", "coordinatewiseDivide")


def _plain(b: Builder) -> str:
    """A result without a border, in any order of memory."""
    source = b.source()
    written = b.written[source]
    if written.extent == written.size:
        return str(source)
    order = b.draw(st.sampled_from(ORDERS))
    return str(b.reorder(source, read=written, written=Layout(written.size, written.size, (0, 0, 0), order)))


def _constant(b: Builder, given: Layout) -> str:
    return str(b.add(f"ConstantNode<{b.element}>", {}, given, layout=given.json, values=b.floats(given.elements)))


def concatenation(b: Builder, kind: str) -> str:
    source = b.part() if b.draw(st.booleans()) else b.source()
    given = dense(b.draw(layouts_of_elements(b.written[source].elements)).extent)
    return str(b.add(f"{kind}<{b.element}>", {"input": source}, given, shape=list(given.size)))


def splice(b: Builder, kind: str) -> str:
    sources = [_plain(b) for _ in range(b.draw(st.integers(1, 3)))]
    read = [b.written[source] for source in sources]
    order = read[0].order
    inner = {tuple(layout.size[d] for d in order[1:]) for layout in read}
    if len(inner) > 1 or any(layout.order != order for layout in read) or all(x.size[:2] == (1, 1) for x in read):
        written = dense((1, 1, sum(layout.elements for layout in read)))
    else:
        size = list(read[0].size)
        size[order[0]] = sum(layout.size[order[0]] for layout in read)
        written = Layout(tuple(size), tuple(size), (0, 0, 0), order)
    ports = {f"input_{k}": source for k, source in enumerate(sources)}
    return str(b.add(f"{kind}<{b.element}>", ports, written, numInputs=len(sources)))


def slice_(b: Builder, kind: str) -> str:
    source = _plain(b)
    layout = b.written[source]
    size = list(layout.size)
    outer = layout.order[0]
    start = b.draw(st.integers(0, size[outer] - 1))
    size[outer] = b.draw(st.integers(1, size[outer] - start))
    written = Layout(tuple(size), tuple(size), (0, 0, 0), layout.order)
    fields = {"start": start, "count": size[outer], "layout": written.json}
    return str(b.add(f"{kind}<{b.element}>", {"input": source}, written, **fields))


def unary(b: Builder, kind: str) -> str:
    source = b.source()
    layout = b.written[source]
    written = layout if layout.extent == layout.size else dense((1, 1, layout.elements))
    return str(b.add(f"{kind}<{b.element}>", {"input": source}, written, operation=b.draw(st.sampled_from(UNARY))))


def _written(b: Builder, size: tuple[int, ...], key: str = "padding") -> tuple[Layout, dict[str, Any]]:
    written = b.draw(layouts(size))
    return written, {"outputLayout": written.json, key: b.number()}


def broadcast_unary(b: Builder, kind: str) -> str:
    source = b.source()
    written, fields = _written(b, b.written[source].size)
    operation = b.draw(st.sampled_from(UNARY))
    return str(b.add(f"{kind}<{b.element}>", {"input": source}, written, **fields, operation=operation))


def _beside(b: Builder, size: tuple[int, ...]) -> str:
    """A constant that can be broadcast to ``size``."""
    own = tuple(n if b.draw(st.booleans()) else 1 for n in size)
    return _constant(b, b.draw(layouts(own)))


def broadcast_binary(b: Builder, kind: str) -> str:
    source = b.source()
    size = b.written[source].size
    names = [source, _beside(b, size)]
    if b.draw(st.booleans()):
        names.reverse()
    written, fields = _written(b, size)
    ports = {"input1": names[0], "input2": names[1]}
    return str(b.add(f"{kind}<{b.element}>", ports, written, **fields, operation=b.draw(st.sampled_from(BINARY))))


def broadcast_ternary(b: Builder, kind: str) -> str:
    source = b.source()
    size = b.written[source].size
    names = b.draw(st.permutations([source, _beside(b, size), _beside(b, size)]))
    written, fields = _written(b, size)
    ports = {f"input{k}": name for k, name in enumerate(names, 1)}
    return str(b.add(f"{kind}<{b.element}>", ports, written, **fields, operation="fma"))


def broadcast_function(b: Builder, kind: str) -> str:
    source = b.source()
    read = b.read(source)
    written, fields = _written(b, read.size, "paddingValue")
    function = b.draw(st.sampled_from(("ReLUActivationFunction", "TanhActivationFunction", "SquareRootFunction")))
    type_name = f"{kind}<{b.element},{function}<{b.element}>>"
    return str(b.add(type_name, {"primaryInput": source}, written, inputLayout=read.json, **fields))


def broadcast_linear(b: Builder, kind: str) -> str:
    source = b.source()
    read = b.read(source)
    place = b.draw(st.integers(0, 2))
    count = read.size[read.order[place]]
    ports = {"primaryInput": source}
    for key in ("secondaryInput1", "secondaryInput2"):
        if b.draw(st.integers(0, 3)):
            ports[key] = _constant(b, dense((1, 1, count)))
    written, fields = _written(b, read.size, "paddingValue")
    fields |= {"inputLayout": read.json, "broadcastDimension": place}
    return str(b.add(f"{kind}<{b.element}>", ports, written, **fields))


def sum_(b: Builder, kind: str) -> str:
    return str(b.add(f"{kind}<{b.element}>", {"input": b.source()}, dense((1, 1, 1))))


def matrix_product(b: Builder, kind: str) -> str:
    left = b.part() if b.draw(st.booleans()) else b.source()
    elements = b.written[left].elements
    m = b.draw(st.sampled_from([n for n in range(1, elements + 1) if elements % n == 0]))
    k, n = elements // m, b.draw(st.integers(1, 70))
    if b.draw(st.booleans()):
        right, n = b.part(), 1
        if b.written[right].elements < k:
            right = _constant(b, dense((1, 1, k)))
        n = b.written[right].elements // k
    else:
        right = _constant(b, dense((1, k, n)))
    first, second, transposed = (b.draw(st.booleans()) for _ in range(3))
    written = dense((1, n, m) if transposed else (1, m, n))
    fields = {"m": m, "n": n, "k": k, "lda": m if first else k, "ldb": k if second else n}
    fields |= {"ldc": m if transposed else n, "transpose1": first, "transpose2": second}
    fields |= {"transposeOutput": transposed}
    return str(b.add(f"{kind}<{b.element}>", {"input1": left, "input2": right}, written, **fields))


def region_detection(b: Builder, kind: str) -> str:
    """Boxes over three times a result, so that there are channels enough."""
    source = _plain(b)
    rows, columns, channels = b.written[source].size
    name = f"thrice {len(b.parts)}"
    one = b.elements_of(source).strip("{}")
    b.parts[name] = f"{{{one}, {one}, {one}}}"
    read = dense((rows, columns, 3 * channels))
    b.written[name] = dense((1, 1, prod(read.size)))
    boxes = b.draw(st.sampled_from([n for n in (1, 2, 3) if channels * 3 % n == 0 and channels * 3 // n >= 3]))
    anchors = b.draw(st.integers(1, 3 * channels // boxes - 2))
    shape = {"width": rows, "height": columns, "numBoxesPerCell": boxes, "numAnchors": anchors}
    shape |= {"numClasses": 3 * channels // boxes - 1 - anchors, "applySoftmax": b.draw(st.booleans())}
    if kind == "RegionDetectionLayerNode":
        return str(b.layer("RegionDetection", name, read, read.size, shape))
    fields = {"inputLayout": read.json, "outputLayout": read.json}
    return str(b.add(f"{kind}<{b.element}>", {"input": name}, read, **fields, **shape))


GENERAL: Mapping[str, Callable[[Builder, str], str]] = {
    "ConcatenationNode": concatenation,
    "SpliceNode": splice,
    "SliceNode": slice_,
    "UnaryOperationNode": unary,
    "BroadcastUnaryOperationNode": broadcast_unary,
    "BroadcastBinaryOperationNode": broadcast_binary,
    "BroadcastTernaryOperationNode": broadcast_ternary,
    "BroadcastUnaryFunctionNode": broadcast_function,
    "BroadcastLinearFunctionNode": broadcast_linear,
    "SumNode": sum_,
    "MatrixMatrixMultiplyNode": matrix_product,
    "RegionDetectionLayerNode": region_detection,
    "RegionDetectionNode": region_detection,
}
