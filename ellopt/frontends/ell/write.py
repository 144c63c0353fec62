"""From a Model to an ``.ell`` archive: what ONNX models become, in the nodes that ELL has.

A Model's nodes leave memory as ELL's do, each with a layout, so most become one node. Inputs and outputs are rows x
columns x channels, as everywhere in ELL: where the file had channels first, the transposition at its ends is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.frontends.ell.archive import Archive, write_archive
from ellopt.frontends.ell.layouts import flat_layout, packed_layout
from ellopt.frontends.ell.metadata import own_options, with_options
from ellopt.frontends.ell.write_kinds import KINDS
from ellopt.frontends.ell.write_moves import index_of, moved
from ellopt.frontends.onnx.refusals import Refusals, Refused
from ellopt.model import layers
from ellopt.model.graph import Model, Port
from ellopt.model.layers import FloatArray, MemoryLayout, Node, Shape3

Json = dict[str, Any]
#: ELL numbers nodes so.
_FIRST_ID = 1000
#: Versions of nodes without metadata; those with it are 3 at least.
_VERSIONS = {
    "InputNode": 2,
    "OutputNode": 2,
    "BinaryOperationNode": 7,
    "ConstantNode": 8,
    "MatrixMatrixMultiplyNode": 2,
}


def write_model(model: Model, path: Path) -> None:
    """Write ``model`` as an ``.ell`` file. Raises ModelFormatError with everything that ELL has no nodes for."""
    write_archive(to_ell(model), path)


def to_ell(model: Model) -> Archive:
    """The model as an archive. Raises as ``write_model``."""
    writer = Writer(model)
    refusals = Refusals()
    for node in model.nodes:
        if node.node_id not in writer.needed:
            continue
        try:
            writer.node(node)
        except Refused as reason:
            place = f"node {node.node_id}{f' {node.name}' if node.name else ''}"
            refusals.add(place, f"the operator {node.type_name}: {reason}")
            writer.written[node.node_id] = "missing"
    refusals.raise_any(model.path, "cannot be written for ELL")
    return writer.archive()


class Writer:
    """The archive so far. ``written`` has the ELL node whose memory is what each node of the model leaves."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.written: dict[str, str] = {}
        self._nodes: list[Json] = []
        self._current: Node | None = None
        self._outputs = [self._output(*source) for source in self._sources()]
        self._inputs: dict[str, MemoryLayout] = {}
        self._aliases: dict[str, Port] = {}
        for port in model.input_ports:
            self._begin(port)
        self.needed = {name for name, *_ in self._outputs}
        for node in reversed(model.nodes):
            if node.node_id in self.needed and node.node_id not in self._aliases:
                self.needed.update(node.inputs)
        self.needed -= {model.input.node_id}

    def archive(self) -> Archive:
        outputs = []
        for (name, layout, is_ready), port in zip(self._outputs, self.model.output_ports, strict=True):
            self._current = None
            source, size = self.written[name], image_of(port)
            if size and not is_ready and layout.size != size:
                rows, columns, _ = size
                file = replace(packed_layout(size), order=(2, 0, 1), increment=(rows * columns, columns, 1))
                layout = packed_layout(size)
                source = self.reorder(self.reinterpret(source, file), file, layout)
            outputs.append(self.add("OutputNode", {"input": source}, label=port.name, layout=layout))
        data = {
            "_type": "Map",
            "_version": "2",
            "model": {"_type": "Model", "_version": "2", "nodes": self._nodes},
            "inputNames": [port.name for port in self.model.input_ports],
            "inputIds": list(self._inputs),
            "outputNames": [port.name for port in self.model.output_ports],
            "outputElements": [f"{node_id}.output" for node_id in outputs],
        }
        archive = Archive(self.model.path, data)
        chosen = {self.written[k]: own_options(v) for k, v in self.model.options.items() if k in self.written}
        kinds = {node["id"]: node["_type"] for node in self._nodes}
        chosen = {k: v for k, v in chosen.items() if kinds[k].startswith("ConvolutionalLayerNode")}
        return with_options(archive, {}, chosen)

    # --- ends ---

    def _sources(self) -> list[tuple[Port, str, MemoryLayout]]:
        """What each output of the model reads."""
        node, ports = self.model.output, self.model.output_ports
        if len(ports) == 1:
            return [(ports[0], node.inputs[0], node.input_layouts[0])]
        joined = self.model.by_id[node.inputs[0]]
        return list(zip(ports, joined.inputs, joined.input_layouts, strict=True))

    def _output(self, port: Port, source: str, layout: MemoryLayout) -> tuple[str, MemoryLayout, bool]:
        """The node that is the output, its layout, and whether it is the image before it was put in file order."""
        node = self.model.by_id[source]
        if isinstance(node, layers.Remap) and is_image(node.input_layouts[0]):
            index = index_of(node.tables)
            if len(index) == node.input_layouts[0].elements and (np.sort(index) == np.arange(len(index))).all():
                return node.inputs[0], node.input_layouts[0], True
        return source, layout, False

    def _begin(self, port: Port) -> None:
        """The input node of ``port``, as an image if one is made of it at once."""
        readers = [node for node in self.model.nodes if self._reads(node, port)]
        images = [node for node in readers if isinstance(node, layers.Remap) and is_image(node.output_layout)]
        size: Shape3 = (1, 1, port.elements)
        index: npt.NDArray[np.int64] = np.arange(port.elements)
        image_size = image_of(port)
        for image in sorted(images, key=lambda node: node.output_layout.size != image_size):
            found = index_of(image.tables)
            if len(found) == port.elements and (np.sort(found) == np.arange(port.elements)).all():
                size, index = image.output_layout.size, found
                break
        else:
            if image_size:
                rows, columns, channels = size = image_size
                index = index.reshape(channels, rows, columns).transpose(1, 2, 0).reshape(-1)
        layout = packed_layout(size)
        node_id = self.add("InputNode", {}, label=port.name, layout=layout)
        self._inputs[node_id] = layout
        flat = ""
        for node in readers:
            if isinstance(node, layers.Remap) and is_image(node.output_layout) and is_image(layout):
                own = index_of(node.tables)
                if len(own) == len(index) and (own == index).all():
                    self.written[node.node_id] = node_id
                    self._aliases[node.node_id] = port
                    continue
            flat = flat or self._in_file_order(node_id, layout, index)
        for part in self.model.nodes:
            if self._is_part(part, port):
                self.written[part.node_id] = flat or node_id
                self._aliases[part.node_id] = port
        if len(self.model.input_ports) == 1:
            self.written[self.model.input.node_id] = flat or node_id

    def _in_file_order(self, node_id: str, layout: MemoryLayout, index: npt.NDArray[np.int64]) -> str:
        if not is_image(layout):
            return node_id
        return moved(self, node_id, layout.elements, (np.argsort(index),), 0.0, flat_layout(layout.elements))

    def _is_part(self, node: Node, port: Port) -> bool:
        """Whether ``node`` is what stands for one of several inputs."""
        if len(self.model.input_ports) == 1 or not isinstance(node, layers.Remap):
            return False
        if node.inputs != (self.model.input.node_id,) or len(node.tables) != 1:
            return False
        return bool(np.array_equal(node.tables[0], np.arange(port.offset, port.offset + port.elements)))

    def _reads(self, node: Node, port: Port) -> bool:
        if len(self.model.input_ports) == 1:
            return self.model.input.node_id in node.inputs
        return any(self._is_part(self.model.by_id[name], port) for name in node.inputs)

    # --- nodes ---

    def node(self, node: Node) -> None:
        """Write a node of the model."""
        if node.node_id in self._aliases:
            return
        self._current = node
        write = next((KINDS[base] for base in type(node).__mro__ if base in KINDS), None)
        if write is None:
            raise Refused("ELL has no node for it")
        self.written[node.node_id] = write(self, node)

    def source(self, node: Node, index: int = 0) -> str:
        return self.written[node.inputs[index]]

    def add(
        self, kind: str, ports: Mapping[str, str], variant: str = "", label: str | None = None, **fields: Any
    ) -> str:
        """A node of ELL. ``ports`` go to ids of nodes, or to texts that name parts of them; layouts among the fields
        are written as ELL does."""
        node_id = str(_FIRST_ID + len(self._nodes))
        name = label if label is not None else (self._current.name if self._current is not None else "")
        version = 5 if "Layer" in kind or kind.startswith("Broadcast") else _VERSIONS.get(kind, 0)
        if name and kind != "OutputNode":
            version = max(version, 3)
        data: Json = {"_type": f"{kind}<float{',' + variant if variant else ''}>", "_version": str(version)}
        data["id"] = node_id
        if name:
            data["metadata"] = _named(name)
        early = ("numInputs", *(("outputLayout", "padding") if kind.startswith("Broadcast") else ()))
        data |= {key: _value(value) for key, value in fields.items() if key in early}
        data |= {key: _port(node_id, key, text) for key, text in ports.items()}
        data |= {key: _value(value) for key, value in fields.items() if key not in early}
        if kind == "MatrixMatrixMultiplyNode":
            data["output"] |= {"nodeId": node_id}
        self._nodes.append(data)
        return node_id

    def layer(
        self, kind: str, source: str, read: MemoryLayout, written: MemoryLayout, variant: str = "", **fields: Any
    ) -> str:
        layer = {
            "_type": f"{kind}Layer<float{',' + variant if variant else ''}>",
            "_version": "0",
            "inputPaddingScheme": 0,
            "inputPaddingSize": read.offset[0],
            "outputShape": list(written.extent),
            "outputPaddingScheme": 0,
            "outputPaddingSize": 0,
            **{key: _value(value) for key, value in fields.items()},
        }
        return self.add(
            f"{kind}LayerNode", {"input": source}, variant,
            inputLayout=read, outputLayout=written, inputShape=list(read.extent), layer=layer,
        )  # fmt: skip

    def constant(self, values: FloatArray, size: Shape3) -> str:
        return self.add("ConstantNode", {}, values=values.reshape(-1), layout=packed_layout(size))

    def reinterpret(self, source: str, written: MemoryLayout) -> str:
        return self.add("ReinterpretLayoutNode", {"input": source}, outputLayout=written)

    def reorder(self, source: str, read: MemoryLayout, written: MemoryLayout, fill: float = 0.0) -> str:
        return self.add(
            "ReorderDataCodeNode", {"input": source}, inputLayout=read, outputLayout=written, paddingValue=fill
        )

    def dense(self, node: Node, index: int = 0) -> str:
        """An input of ``node`` as dense memory: rows, columns, channels."""
        layout = node.input_layouts[index]
        source = self.source(node, index)
        if layout.extent == layout.size and layout.order == (0, 1, 2):
            return source
        return self.reorder(source, layout, packed_layout(layout.size))

    def shaped(self, source: str, size: Sequence[int]) -> tuple[str, MemoryLayout]:
        """Dense memory seen as another size."""
        layout = packed_layout((size[0], size[1], size[2]))
        return self.reinterpret(source, layout), layout


def image_of(port: Port) -> Shape3 | None:
    """Rows, columns and channels of [1, channels, rows, columns]; None of other shapes, as of images that have few
    channels in the last place."""
    shape = port.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] <= 4 < shape[1]:
        return None
    return (shape[2], shape[3], shape[1])


def is_image(layout: MemoryLayout) -> bool:
    return layout.size[:2] != (1, 1) and layout.extent == layout.size and layout.order == (0, 1, 2)


def _port(node_id: str, key: str, text: str) -> Json:
    source = text if "." in text else f"{text}.output"
    return {
        "_type": "InputPort<float>", "_version": "0", "nodeId": node_id, "name": key, "type": 1, "input": source,
    }  # fmt: skip


def _value(value: Any) -> Any:
    if isinstance(value, MemoryLayout):
        return {
            "_type": "MemoryLayout",
            "_version": "0",
            **{name: [getattr(value, name)[d] for d in value.order] for name in ("size", "extent", "offset")},
            "order": list(value.order),
            "increment": list(value.increment),
        }
    if isinstance(value, np.ndarray):
        return value.astype(np.float64).tolist()
    return value


def _named(name: str) -> Json:
    variant = {"_type": "Variant", "_version": "0", "type": "std::string", "value": name}
    entry = {"_type": "PropertyBag::KeyValue", "_version": "0", "k": "name", "v": variant}
    return {"_type": "PropertyBag", "_version": "0", "data": [entry]}
