"""A node of the archive before its kind is known: its id, type, what it reads, and what to say when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.fields import Fields, printable
from ellopt.frontends.ell.layouts import read_layout
from ellopt.frontends.ell.metadata import text_properties
from ellopt.frontends.ell.ports import PortRange, parse_port_elements, whole_output
from ellopt.model.layers import MemoryLayout

_TYPE = re.compile(r"(\w+)(?:<(\w+)(?:,\s*(\w+)(?:<\w+>)?)?>)?")

#: PaddingScheme: zeros, minus ones, min (most negative float), max.
PADDING_VALUES = {0: 0.0, 1: -1.0, 4: -3.4028234663852886e38, 5: 3.4028234663852886e38}


@dataclass(frozen=True, eq=False)
class RawNode:
    """``kind`` and ``variant`` are the parts of a type such as ``PoolingLayerNode<float,MaxPoolingFunction>``.

    ``ports`` maps the names of the input ports to the elements that they read.
    """

    fields: Fields
    node_id: str
    type_name: str
    kind: str
    element: str
    variant: str
    ports: Mapping[str, tuple[PortRange, ...]]

    @property
    def reads(self) -> frozenset[str]:
        """Ids of the nodes that this one reads."""
        return frozenset(part.node_id for ranges in self.ports.values() for part in ranges)

    def fail(self, message: str) -> NoReturn:
        self.fields.fail(message)

    def common(
        self,
        inputs: tuple[str, ...],
        input_layouts: tuple[MemoryLayout, ...],
        output_layout: MemoryLayout,
        padding_value: float = 0.0,
    ) -> dict[str, Any]:
        """The arguments that every Node takes."""
        metadata = text_properties(self.fields)
        return {
            "node_id": self.node_id,
            "type_name": self.type_name,
            "inputs": inputs,
            "input_layouts": input_layouts,
            "output_layout": output_layout,
            "padding_value": padding_value,
            "name": metadata.get("name", ""),
            "metadata": metadata,
        }

    def aside(
        self, node_id: str, inputs: tuple[str, ...], read: tuple[MemoryLayout, ...], written: MemoryLayout
    ) -> dict[str, Any]:
        """The arguments of a node that helps this one."""
        return {**self.common(inputs, read, written), "node_id": node_id, "metadata": {}}

    def source(self, port: str, outputs: Mapping[str, MemoryLayout]) -> str:
        """The id of the node that the port reads whole."""
        if not self.ports.get(port):
            self.fail(f"the input port {port} is missing")
        ranges = self.ports[port]
        source = ranges[0].node_id
        if any(part.port != "output" for part in ranges):
            self.fail(f"{port} reads another port than output: {self._text(port)}")
        if whole_output(ranges, outputs[source].elements) is None:
            self.fail(f"{port} does not read a whole output: {self._text(port)}")
        return source

    def layout_for(self, key: str, source: str, outputs: Mapping[str, MemoryLayout]) -> MemoryLayout:
        """The layout with which this node reads ``source``: the field ``key``, or how the source wrote it."""
        written = outputs[source]
        if key not in self.fields:
            return written
        layout = read_layout(self.fields, key)
        if layout.elements != written.elements:
            self.fail(f"{key} has {layout.elements} elements, but node {source} writes {written.elements}")
        return layout

    def padding_value(self, layer: Fields, layout: MemoryLayout) -> float:
        """The value of the border that the layer's outputPaddingScheme asks for."""
        scheme = layer.integer("outputPaddingScheme")
        if layout.extent == layout.size:
            return 0.0
        if scheme not in PADDING_VALUES:
            self.fail(
                f"outputPaddingScheme {scheme} (alternating or random zeros and ones, or unknown) is not supported"
            )
        return PADDING_VALUES[scheme]

    def _text(self, port: str) -> str:
        return self.fields.object(port).text("input")


def read_raw(path: Path, data: Mapping[str, Any], origin: str = "") -> RawNode:
    """Read what all kinds of nodes have in common. ``origin`` says where a node that is not in the file came from.

    Raises ModelFormatError.
    """
    node_id, type_name = data.get("id"), data.get("_type")
    if not isinstance(type_name, str):
        raise ModelFormatError(printable(f"{path}: node {node_id!r}: the field _type is missing or not a string"))
    if not isinstance(node_id, str) or not node_id:
        raise ModelFormatError(printable(f"{path}: a node of type {type_name} has no id"))
    fields = Fields(data, f"{path}: node {node_id} ({type_name}{', ' + origin if origin else ''})")
    match = _TYPE.fullmatch(type_name)
    kind, element, variant = (match[1], match[2] or "", match[3] or "") if match else (type_name, "", "")
    return RawNode(fields, node_id, type_name, kind, element, variant, _ports(fields))


def _ports(fields: Fields) -> dict[str, tuple[PortRange, ...]]:
    ports = {}
    for key, value in fields.data.items():
        if isinstance(value, dict) and str(value.get("_type", "")).startswith("InputPort"):
            port = fields.object(key)
            try:
                text = port.text("input")
                ports[key] = parse_port_elements(text) if text.strip(" {}") else ()
            except ValueError as error:
                fields.fail(f"{key}: {error}")
    return ports
