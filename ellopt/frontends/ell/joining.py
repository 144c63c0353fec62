"""Nodes that put outputs one after another, or take a part of one; and the boxes of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ellopt.frontends.ell.fields import Fields
from ellopt.frontends.ell.layouts import flat_layout, packed_layout, read_layout, shape3
from ellopt.frontends.ell.operations import in_memory
from ellopt.frontends.ell.raw import RawNode
from ellopt.model import layers
from ellopt.model.layers import MemoryLayout, Node

Outputs = Mapping[str, MemoryLayout]

#: More boxes or classes than any detector has.
_MOST_BOXES = 1 << 20


def concatenation(raw: RawNode, outputs: Outputs) -> Node:
    """ConcatenationNode: what its port joins, seen as its shape."""
    source = raw.source("input", outputs)
    elements = outputs[source].elements
    shape = raw.fields.integers("shape", 1) if "shape" in raw.fields else ()
    if len(shape) >= 3 and prod(shape) != elements:
        raw.fail(f"its shape {list(shape)} is not that of the {elements} elements that it reads")
    written = packed_layout(shape3(raw.fields, shape, "shape")) if len(shape) >= 3 else flat_layout(elements)
    return layers.Reinterpret(**raw.common((source,), (outputs[source],), written))


def splice(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """SpliceNode: its inputs one after another, along the outermost dimension."""
    count = raw.fields.integer("numInputs", 1, len(raw.ports) or 1)
    sources = tuple(raw.source(f"input_{k}", outputs) for k in range(count))
    read = [outputs[source] for source in sources]
    if any(layout.extent != layout.size for layout in read):
        raw.fail("it joins outputs with a border, which is not supported")
    counts = tuple(layout.elements for layout in read)
    return in_memory(
        raw,
        _spliced(read),
        lambda common: layers.Concatenation(**common, outer=1, inners=counts),
        sources,
        tuple(flat_layout(n) for n in counts),
    )


def _spliced(read: list[MemoryLayout]) -> MemoryLayout:
    """The layout of outputs one after another: of their form where they are alike, else flat."""
    order = read[0].order
    inner = {tuple(layout.size[d] for d in order[1:]) for layout in read}
    total = sum(layout.elements for layout in read)
    if len(inner) > 1 or any(layout.order != order for layout in read) or all(x.size[:2] == (1, 1) for x in read):
        return flat_layout(total)
    sizes = list(read[0].size)
    sizes[order[0]] = sum(layout.size[order[0]] for layout in read)
    dense = packed_layout((sizes[order[0]], sizes[order[1]], sizes[order[2]]))
    size = (sizes[0], sizes[1], sizes[2])
    return MemoryLayout(size, size, (0, 0, 0), order, dense.increment)


def slice_(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """SliceNode: ``count`` parts, from ``start`` on, of the outermost dimension of memory."""
    source = raw.source("input", outputs)
    whole, written = outputs[source], read_layout(raw.fields, "layout")
    if whole.extent != whole.size or written.extent != written.size:
        raw.fail("it reads or writes a border, which is not supported")
    rank = len(raw.fields.object("layout").integers("size"))
    dimension = whole.order[max(0, 3 - rank)]
    start, count = raw.fields.integer("start"), raw.fields.integer("count", 1)
    parts = whole.size[dimension]
    step = whole.elements // parts
    if rank < 3 and step * parts != prod(whole.size[d] for d in whole.order[max(0, 3 - rank) :]):
        raw.fail(f"its layout has {rank} dimensions, its input more")
    if start + count > parts:
        raw.fail(f"it takes {start} to {start + count} of {parts}")
    if written.elements != count * step:
        raw.fail(f"its layout has {written.elements} elements, it takes {count * step}")
    table = np.arange(start * step, (start + count) * step, dtype=np.int64)
    return in_memory(
        raw,
        written,
        lambda common: layers.Remap(**common, tables=(table,)),
        (source,),
        (flat_layout(whole.elements),),
    )


def region_detection(raw: RawNode, outputs: Outputs) -> tuple[Node, ...]:
    """RegionDetectionLayerNode: for each box its coordinates as they are, the logistic function of its confidence, and
    the softmax of its classes."""
    layer: Fields = raw.fields.object("layer") if "layer" in raw.fields else raw.fields
    source = raw.source("input", outputs)
    read, written = raw.layout_for("inputLayout", source, outputs), read_layout(raw.fields, "outputLayout")
    anchors = layer.integer("numAnchors" if "numAnchors" in layer else "numCoordinates", 1, _MOST_BOXES)
    boxes, classes = (layer.integer(key, 1, _MOST_BOXES) for key in ("numBoxesPerCell", "numClasses"))
    each = anchors + 1 + classes
    size = (layer.integer("width", 1), layer.integer("height", 1), boxes * each)
    if read.size != size or written.size != size:
        raw.fail(f"it reads {list(read.size)} and writes {list(written.size)}, but its boxes make {list(size)}")
    value = raw.padding_value(layer, written) if "outputPaddingScheme" in layer else 0.0
    softmax = layer.data.get("applySoftmax", True) not in (False, 0, "false")
    count = size[0] * size[1] * boxes

    def part(name: str, first: int, width: int) -> Node:
        tables = (np.arange(count, dtype=np.int64) * each + first, np.arange(width, dtype=np.int64))
        common = raw.aside(f"{raw.node_id}.{name}", (source,), (read,), flat_layout(count * width))
        return layers.Remap(**common, tables=tables)

    def behind(name: str, node: Node) -> dict[str, Any]:
        return raw.aside(f"{raw.node_id}.{name}", (node.node_id,), (node.output_layout,), node.output_layout)

    places, raw_confidence, raw_classes = (
        part("coordinates", 0, anchors),
        part("confidence", anchors, 1),
        part("classes", anchors + 1, classes),
    )
    made: list[Node] = [places, raw_confidence, raw_classes]
    made.append(layers.Activation(**behind("sigmoid", raw_confidence), function="sigmoid"))
    parts = [places, made[-1], raw_classes]
    if softmax:
        node = layers.AxisSoftmax(**behind("softmax", raw_classes), outer=count, length=classes, inner=1)
        made.append(node)
        parts[2] = node
    common = raw.common(tuple(p.node_id for p in parts), tuple(p.output_layout for p in parts), written, value)
    return (*made, layers.Concatenation(**common, outer=count, inners=(anchors, 1, classes)))
