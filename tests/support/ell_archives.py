"""Small archives made by hand, for tests that need a model of a certain shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Json = dict[str, Any]


def layout(
    size: Sequence[int], padding: int = 0, order: Sequence[int] = (0, 1, 2), extent: Sequence[int] | None = None
) -> Json:
    """A layout of a logical size; the file lists its fields in the order of memory."""
    offset = [padding, padding, 0]
    whole = list(extent) if extent else [n + 2 * o for n, o in zip(size, offset, strict=True)]
    physical = [whole[d] for d in order]
    return {
        "_type": "MemoryLayout",
        "_version": "0",
        "size": [size[d] for d in order],
        "extent": physical,
        "offset": [offset[d] for d in order],
        "order": list(order),
        "increment": [physical[1] * physical[2], physical[2], 1],
    }


def port(node_id: str, source: str, name: str = "input") -> Json:
    text = source if "." in source else f"{source}.output"
    return {
        "_type": "InputPort<float>",
        "_version": "0",
        "nodeId": node_id,
        "name": name,
        "type": 1,
        "input": text,
    }


def input_node(node_id: str, size: Sequence[int]) -> Json:
    return {"_type": "InputNode<float>", "_version": "2", "id": node_id, "layout": layout(size)}


def output_node(node_id: str, source: str, written: Json) -> Json:
    return {
        "_type": "OutputNode<float>",
        "_version": "2",
        "id": node_id,
        "input": port(node_id, source),
        "layout": written,
    }


def reorder_node(node_id: str, source: str, read: Json, written: Json, padding: float = 0) -> Json:
    return {
        "_type": "ReorderDataCodeNode<float>",
        "_version": "0",
        "id": node_id,
        "input": port(node_id, source),
        "inputLayout": read,
        "outputLayout": written,
        "paddingValue": padding,
    }


def layer_node(
    kind: str,
    node_id: str,
    source: str,
    read: Json,
    written: Json,
    fields: Json,
    *,
    variant: str = "",
    input_padding: int = 0,
    output_scheme: int = 0,
) -> Json:
    element = f"<float{',' + variant if variant else ''}>"
    return {
        "_type": f"{kind}LayerNode{element}",
        "_version": "5",
        "id": node_id,
        "input": port(node_id, source),
        "inputLayout": read,
        "outputLayout": written,
        "inputShape": read["extent"],
        "layer": {
            "_type": f"{kind}Layer{element}",
            "_version": "0",
            "inputPaddingScheme": 0,
            "inputPaddingSize": input_padding,
            "outputShape": written["extent"],
            "outputPaddingScheme": output_scheme,
            "outputPaddingSize": written["offset"][0] if written["order"] == [0, 1, 2] else 0,
            **fields,
        },
    }


def convolution_fields(weights: np.ndarray, stride: int = 1) -> Json:
    """``weights``: filter, row, column, channel."""
    filters, field, _, channels = weights.shape
    return {
        "receptiveField": field,
        "stride": stride,
        "method": 0,
        "numFiltersAtATime": 1,
        "weights_rows": filters * field,
        "weights_columns": field,
        "weights_channels": channels,
        "weights_values": [float(w) for w in weights.reshape(-1)],
    }


def activation_fields(kind: str, **fields: Any) -> Json:
    return {"activation": {"_type": f"{kind}Activation<float>", "_version": "0", **fields}}


def map_of(nodes: list[Json]) -> Json:
    """A map whose first node is the input and whose last is the output."""
    return {
        "_type": "Map",
        "_version": "2",
        "model": {"_type": "Model", "_version": "2", "nodes": nodes},
        "inputNames": ["input"],
        "inputIds": [nodes[0]["id"]],
        "outputNames": ["output"],
        "outputElements": [f"{nodes[-1]['id']}.output"],
    }


def write_map(path: Path, nodes: list[Json]) -> Path:
    path.write_text(json.dumps(map_of(nodes)))
    return path


def predictor_map(scale: float = 1, padding: int = 0, scheme: int = 0) -> Json:
    """4x4x2 -> (input layer) -> convolution 3x3 -> bias -> softmax, all in one predictor node."""
    random = np.random.default_rng(5)
    weights = random.normal(size=(3, 3, 3, 2)).astype(np.float32)
    side = 4 + 2 * padding
    size = side - 2

    def layer(kind: str, shape: list[int], fields: Json, in_padding: int = 0) -> Json:
        return {
            "_type": f"{kind}Layer<float>",
            "_version": "0",
            "inputPaddingScheme": scheme,
            "inputPaddingSize": in_padding,
            "outputShape": shape,
            "outputPaddingScheme": 0,
            "outputPaddingSize": 0,
            **fields,
        }

    first = layer("Input", [side, side, 2], {})
    first |= {"outputPaddingSize": padding, "outputPaddingScheme": scheme}
    first |= {"data_rows": 4, "data_columns": 4, "data_channels": 2, "data_values": [0] * 32, "scale": scale}
    node = {
        "_type": "NeuralNetworkPredictorNode<float>",
        "_version": "0",
        "id": "2",
        "input": port("2", "1"),
        "predictor": {
            "_type": "NeuralNetworkPredictor<float>",
            "_version": "1",
            "inputLayer": first,
            "layers": [
                layer("Convolutional", [size, size, 3], convolution_fields(weights), padding),
                layer("Bias", [size, size, 3], {"bias": [0.1, 0.2, 0.3]}),
                layer("Softmax", [size, size, 3], {}),
            ],
            "output": [0, 0, 0],
        },
    }
    flat = layout((1, 1, size * size * 3))
    return map_of([input_node("1", (4, 4, 2)), node, output_node("3", "2", flat)])
