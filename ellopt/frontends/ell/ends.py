"""A model's inputs and outputs: one node each, in whose array several of the file lie one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.archive import Archive
from ellopt.frontends.ell.fields import Fields
from ellopt.frontends.ell.layouts import flat_layout
from ellopt.frontends.ell.ports import parse_port_elements
from ellopt.frontends.ell.references import gathered
from ellopt.model import layers
from ellopt.model.graph import Port
from ellopt.model.layers import Input, MemoryLayout, Node, Output

Ports = tuple[Port, ...]


def with_ends(archive: Archive, nodes: list[Node]) -> tuple[list[Node], Ports, Ports]:
    """``nodes`` with one input node and one output node, and where in their arrays the inputs and outputs of the map
    are; no ports where the map has one of each.

    A map may name another node's output as its own, or parts of outputs. Raises ModelFormatError where the map and the
    nodes disagree.
    """
    fields = Fields(archive.data, str(archive.path))
    inputs = _inputs(archive, fields, nodes)
    nodes, sources = _outputs(fields, nodes)
    if len(inputs) == len(sources) == 1:
        return _with_output(nodes, sources[0]), (), ()
    input_ports = _ports([node.output_layout for node in inputs], _names(fields, "inputNames", "input", len(inputs)))
    output_ports = _ports(
        [node.output_layout for node in sources], _names(fields, "outputNames", "output", len(sources))
    )
    if len(inputs) > 1:
        nodes = _joined_inputs(nodes, inputs, input_ports)
    if len(sources) > 1:
        nodes, last = _joined_outputs(nodes, sources)
        return _with_output(nodes, last), input_ports, output_ports
    return _with_output(nodes, sources[0]), input_ports, output_ports


def end_names(archive: Archive) -> tuple[str, str]:
    """What the map calls its first input and its first output."""
    fields = Fields(archive.data, str(archive.path))
    return _names(fields, "inputNames", "input", 1)[0], _names(fields, "outputNames", "output", 1)[0]


def _inputs(archive: Archive, fields: Fields, nodes: list[Node]) -> list[Node]:
    """The input nodes in the order of the map."""
    found = {node.node_id: node for node in nodes if isinstance(node, Input)}
    if not found:
        raise ModelFormatError(f"{archive.path}: the model has no input node")
    named = fields.value("inputIds") if "inputIds" in fields else list(found)
    if not isinstance(named, list) or sorted(map(repr, named)) != sorted(map(repr, found)):
        many = "are not the input nodes" if len(found) > 1 else "is not the input node"
        fields.fail(f"inputIds {named} {many} {', '.join(found)}")
    return [found[name] for name in named]


def _outputs(fields: Fields, nodes: list[Node]) -> tuple[list[Node], list[Node]]:
    """All nodes, and of them those whose outputs are the model's, in the order of the map."""
    elements = fields.value("outputElements")
    if not isinstance(elements, list) or not elements or not all(isinstance(text, str) for text in elements):
        fields.fail("outputElements must name the outputs, at least one")
    sources: list[Node] = []
    for k, text in enumerate(elements):
        nodes, source = _output(fields, nodes, text, k)
        sources.append(source)
    read = {node.node_id for node in sources} | {name for node in nodes for name in node.inputs}
    others = [node.node_id for node in nodes if isinstance(node, Output) and node.node_id not in read]
    if others:
        fields.fail(f"the model has more outputs than the map names: nodes {', '.join(others)}")
    return nodes, sources


def _output(fields: Fields, nodes: list[Node], text: str, number: int) -> tuple[list[Node], Node]:
    by_id = {node.node_id: node for node in nodes}
    try:
        ranges = parse_port_elements(text)
    except ValueError as error:
        fields.fail(f"outputElements: {error}")
    for part in ranges:
        if part.node_id not in by_id:
            fields.fail(f"outputElements names node {part.node_id}, which does not exist")
        if part.port != "output":
            fields.fail(f"outputElements {text} names another port than output")

    def fail(what: str) -> NoReturn:
        fields.fail(f"outputElements {text}: {what}")

    layouts = {node.node_id: node.output_layout for node in nodes}
    made = gathered(ranges, layouts, f"output.{number}", _common, fail)
    return [*nodes, *made], made[-1] if made else by_id[ranges[0].node_id]


def _with_output(nodes: list[Node], source: Node) -> list[Node]:
    """The nodes with one output node, that of ``source``."""
    others = [node if node is source or not isinstance(node, Output) else _passed_on(node) for node in nodes]
    if isinstance(source, Output):
        return others
    layout = source.output_layout
    return [*others, Output(f"{source.node_id}.output", "OutputNode<float>", (source.node_id,), (layout,), layout)]


def _passed_on(node: Output) -> Node:
    """An output node that is one of several: it only passes on what it reads."""
    fields = {name: getattr(node, name) for name in node.__dataclass_fields__}
    return layers.Reinterpret(**fields)


def _joined_inputs(nodes: list[Node], inputs: Sequence[Node], ports: Ports) -> list[Node]:
    """One input node in front, and each of ``inputs`` as a part of it."""
    taken = {node.node_id for node in nodes}
    name = "input"
    while name in taken:
        name += "s"
    whole = flat_layout(ports[-1].offset + ports[-1].elements)
    parts: dict[str, Node] = {}
    for node, port in zip(inputs, ports, strict=True):
        table = np.arange(port.offset, port.offset + port.elements, dtype=np.int64)
        fields = {name: getattr(node, name) for name in node.__dataclass_fields__}
        fields |= {"inputs": (name,), "input_layouts": (whole,), "tables": (table,)}
        parts[node.node_id] = layers.Remap(**fields)
    first = Input(name, "InputNode<float>", (), (), whole)
    return [first, *(parts.get(node.node_id, node) for node in nodes)]


def _joined_outputs(nodes: list[Node], sources: Sequence[Node]) -> tuple[list[Node], Node]:
    """The outputs one after another, each without its border."""
    layouts = tuple(node.output_layout for node in sources)
    counts = tuple(int(np.prod(layout.size)) for layout in layouts)
    names = tuple(node.node_id for node in sources)
    joined = layers.Concatenation(
        **_common("output.joined", names, layouts, flat_layout(sum(counts))), outer=1, inners=counts
    )
    return [*nodes, joined], joined


def _common(
    node_id: str, inputs: tuple[str, ...], read: tuple[MemoryLayout, ...], written: MemoryLayout
) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "type_name": "OutputNode<float>",
        "inputs": inputs,
        "input_layouts": read,
        "output_layout": written,
    }


def _ports(layouts: Sequence[MemoryLayout], names: Sequence[str]) -> Ports:
    ports: list[Port] = []
    offset = 0
    for layout, name in zip(layouts, names, strict=True):
        ports.append(Port(name, layout.size, offset))
        offset += ports[-1].elements
    return tuple(ports)


def _names(fields: Fields, key: str, kind: str, count: int) -> list[str]:
    """The names that the map gives, each told from those before it."""
    given = fields.value(key) if key in fields else []
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        fields.fail(f"{key} must be a list of names")
    names: list[str] = []
    for k in range(count):
        name = given[k] if k < len(given) and given[k] else kind
        number = 1
        while name in names:
            name, number = f"{(given[k] if k < len(given) else '') or kind}_{number}", number + 1
        names.append(name)
    return names
