"""A ``NeuralNetworkPredictorNode`` written out as layer nodes, so that options can attach to its convolutions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from ellopt.frontends.ell.archive import Archive
from ellopt.frontends.ell.fields import Fields
from ellopt.frontends.ell.layouts import packed_layout, shape3
from ellopt.frontends.ell.raw import PADDING_VALUES
from ellopt.model.layers import MemoryLayout, Shape3

_PREDICTOR = "NeuralNetworkPredictorNode"
_LAYER = re.compile(r"(\w+Layer)(<\w+(?:,\s*\w+)?>)")

#: Kinds of layers that can stand at the top level as a node of their own.
_KNOWN = frozenset(
    f"{kind}Layer"
    for kind in (
        "Convolutional",
        "Bias",
        "Scaling",
        "BatchNormalization",
        "Activation",
        "Pooling",
        "FullyConnected",
        "Softmax",
        "RegionDetection",
    )
)


def expand_predictors(archive: Archive) -> Archive:
    """The archive with every predictor node replaced by its layers, each reading the one before.

    New nodes get ids above all others, in order; whatever read the predictor reads its last layer. The input layer
    becomes a ReorderDataCodeNode if it pads and a ScalingLayerNode if it scales. All other objects are shared with
    ``archive``, which is returned itself if it holds no predictor. Raises ModelFormatError.
    """
    if not any(_is_predictor(node) for node in archive.nodes):
        return archive
    ids = _free_ids(archive)
    nodes: list[dict[str, Any]] = []
    last: dict[str, str] = {}
    origins: dict[str, str] = {}
    for data in archive.nodes:
        if not _is_predictor(data):
            nodes.append(data)
            continue
        fields = Fields(data, f"{archive.path}: node {data.get('id')} ({data['_type']})")
        node_id = fields.text("id")
        expanded = _expand(fields, ids)
        for number, node in enumerate(expanded, 1):
            origins[node["id"]] = f"step {number} of {len(expanded)} in node {node_id}, a {_PREDICTOR}"
        last[node_id] = expanded[-1]["id"]
        nodes += expanded
    nodes = [_rewired_node(node, last) for node in nodes]
    elements = archive.data.get("outputElements")
    fields_changed = {}
    if isinstance(elements, list):
        fields_changed["outputElements"] = [_rewired(e, last) if isinstance(e, str) else e for e in elements]
    return replace(archive.with_nodes(nodes, **fields_changed), origins=origins)


def _is_predictor(node: dict[str, Any]) -> bool:
    return str(node.get("_type", "")).partition("<")[0] == _PREDICTOR


def _free_ids(archive: Archive) -> Iterator[str]:
    numbers = [int(node["id"]) for node in archive.nodes if re.fullmatch(r"\d{1,18}", str(node.get("id")))]
    return map(str, count(max(numbers, default=1000) + 1))


def _expand(fields: Fields, ids: Iterator[str]) -> list[dict[str, Any]]:
    predictor = fields.object("predictor")
    port = fields.object("input")
    source = port.text("input")
    element = re.sub(r"^\w+", "", fields.type_name)
    nodes: list[dict[str, Any]] = []

    first = predictor.object("inputLayer")
    given = packed_layout(
        _shape(first, *(first.integer(f"data_{name}", 1) for name in ("rows", "columns", "channels")))
    )
    if len(first.floats("data_values")) != given.elements:
        fields.fail(f"its input layer must hold {given.elements} data_values")
    written = _layout(first, "output", shape3(first, first.integers("outputShape", 1), "outputShape"))
    if given.size != written.size:
        fields.fail(f"its input layer reads {list(given.size)} but writes {list(written.size)}")
    scale = first.value("scale") if "scale" in first else 1
    if scale != 1:
        layer = {
            "_type": f"ScalingLayer{element}",
            "_version": "0",
            **{
                key: first.value(key)
                for key in (
                    "inputPaddingScheme",
                    "inputPaddingSize",
                    "outputShape",
                    "outputPaddingScheme",
                    "outputPaddingSize",
                )
            },
            "scales": [scale] * given.size[2],
        }
        layer["inputPaddingSize"] = 0
        nodes.append(_layer_node(f"ScalingLayerNode{element}", next(ids), port, source, given, written, layer))
    elif written.extent != written.size:
        nodes.append(_reorder_node(element, next(ids), port, source, given, written, _padding_value(first)))

    for number, layer_fields in enumerate(predictor.objects("layers"), 1):
        match = _LAYER.fullmatch(layer_fields.type_name)
        if match is None or match[1] not in _KNOWN:
            fields.fail(f"its layer {number} is a {layer_fields.type_name}, which is not supported")
        read = _layout(layer_fields, "input", written.extent)
        written = _layout(
            layer_fields, "output", shape3(layer_fields, layer_fields.integers("outputShape", 1), "outputShape")
        )
        previous = f"{nodes[-1]['id']}.output" if nodes else source
        type_name = f"{match[1]}Node{match[2]}"
        nodes.append(_layer_node(type_name, next(ids), port, previous, read, written, dict(layer_fields.data)))
    if not nodes:
        fields.fail("its predictor has no layers")
    return nodes


def _shape(fields: Fields, *values: int) -> Shape3:
    return shape3(fields, values, "data")


def _layout(layer: Fields, side: str, extent: Shape3) -> MemoryLayout:
    padding = layer.integer(f"{side}PaddingSize")
    rows, columns, channels = extent
    if min(rows, columns) <= 2 * padding:
        layer.fail(f"{layer.type_name}: {side}PaddingSize {padding} leaves nothing of {list(extent)}")
    return packed_layout((rows - 2 * padding, columns - 2 * padding, channels), padding)


def _padding_value(layer: Fields) -> float:
    scheme = layer.integer("outputPaddingScheme")
    if scheme not in PADDING_VALUES:
        layer.fail(f"{layer.type_name}: outputPaddingScheme {scheme} is not supported")
    return PADDING_VALUES[scheme]


def _port(node_id: str, template: Fields, source: str) -> dict[str, Any]:
    return {**template.data, "nodeId": node_id, "name": "input", "input": source}


def _layout_object(layout: MemoryLayout) -> dict[str, Any]:
    return {
        "_type": "MemoryLayout",
        "_version": "0",
        "size": list(layout.size),
        "extent": list(layout.extent),
        "offset": list(layout.offset),
        "order": [0, 1, 2],
        "increment": list(layout.increment),
    }


def _reorder_node(
    element: str, node_id: str, port: Fields, source: str, read: MemoryLayout, written: MemoryLayout, padding: float
) -> dict[str, Any]:
    return {
        "_type": f"ReorderDataCodeNode{element}",
        "_version": "0",
        "id": node_id,
        "input": _port(node_id, port, source),
        "inputLayout": _layout_object(read),
        "outputLayout": _layout_object(written),
        "paddingValue": int(padding) if padding in (0, -1) else padding,
    }


def _layer_node(
    type_name: str,
    node_id: str,
    port: Fields,
    source: str,
    read: MemoryLayout,
    written: MemoryLayout,
    layer: dict[str, Any],
) -> dict[str, Any]:
    return {
        "_type": type_name,
        "_version": "5",
        "id": node_id,
        "input": _port(node_id, port, source),
        "inputLayout": _layout_object(read),
        "outputLayout": _layout_object(written),
        "inputShape": list(read.extent),
        "layer": layer,
    }


def _rewired_node(node: dict[str, Any], last: dict[str, str]) -> dict[str, Any]:
    changed = {}
    for key, value in node.items():
        if isinstance(value, dict) and str(value.get("_type", "")).startswith("InputPort"):
            text = value.get("input")
            if isinstance(text, str) and _rewired(text, last) != text:
                changed[key] = {**value, "input": _rewired(text, last)}
    return {**node, **changed} if changed else node


def _rewired(text: str, last: dict[str, str]) -> str:
    return re.sub(r"[^.\[\]{},\s]+(?=\.)", lambda match: last.get(match[0], match[0]), text)
