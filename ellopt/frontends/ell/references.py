"""Ports that read a part of an output, or several joined: the nodes that make one output of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, NoReturn

import numpy as np

from ellopt.frontends.ell.layouts import flat_layout
from ellopt.frontends.ell.ports import PortRange, whole_output
from ellopt.frontends.ell.raw import RawNode
from ellopt.model import layers
from ellopt.model.layers import MemoryLayout, Node

Outputs = Mapping[str, MemoryLayout]
#: Makes the arguments that every node takes: id, what it reads, how, and how it writes.
Common = Callable[[str, tuple[str, ...], tuple[MemoryLayout, ...], MemoryLayout], dict[str, Any]]


def resolved(raw: RawNode, outputs: Outputs) -> tuple[RawNode, list[Node]]:
    """``raw`` with ports that read whole outputs only, and the nodes that make what the others read.

    Elements are counted as they lie in memory, borders included. Raises ModelFormatError for elements that an output
    does not have.
    """
    ports, made = dict(raw.ports), list[Node]()
    for port, ranges in raw.ports.items():
        if any(part.port != "output" for part in ranges):
            continue  # who reads it says what is wrong with that
        nodes = gathered(ranges, outputs, f"{raw.node_id}.{port}", raw.aside, raw.fail)
        made += nodes
        if nodes:
            ports[port] = (PortRange(nodes[-1].node_id, "output"),)
    return replace(raw, ports=ports), made


def gathered(
    ranges: tuple[PortRange, ...], outputs: Outputs, name: str, common: Common, fail: Callable[[str], NoReturn]
) -> list[Node]:
    """The nodes that put ``ranges`` one after another, the last one the result, called ``name`` or beginning so; none
    where they are one whole output already."""
    if not ranges or whole_output(ranges, outputs[ranges[0].node_id].elements) is not None:
        return []
    groups = [(source, list(parts)) for source, parts in groupby(ranges, key=lambda part: part.node_id)]
    made: list[Node] = []
    sources: list[tuple[str, int]] = []
    for k, (source, parts) in enumerate(groups):
        elements = outputs[source].elements
        tables = []
        for part in parts:
            end = elements if part.end is None else part.end
            if not part.start < end <= elements:
                fail(f"it reads elements {part.start} to {end} of node {source}, which writes {elements}")
            tables.append(np.arange(part.start, end, dtype=np.int64))
        table = np.concatenate(tables)
        if whole_output(tuple(parts), elements) is not None and len(groups) > 1:
            sources.append((source, elements))
            continue
        own = common(f"{name}.{k}", (source,), (flat_layout(elements),), flat_layout(len(table)))
        made.append(layers.Remap(**own, tables=(table,)))
        sources.append((made[-1].node_id, len(table)))
    if len(sources) > 1:
        counts = tuple(count for _, count in sources)
        read = tuple(flat_layout(count) for count in counts)
        own = common(name, tuple(source for source, _ in sources), read, flat_layout(sum(counts)))
        made.append(layers.Concatenation(**own, outer=1, inners=counts))
    return made
