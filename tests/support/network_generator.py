"""Models of every kind, shape and layout that the reader accepts, as ``.ell`` archives drawn by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ellopt.frontends.ell.archive import Archive, read_archive
from ellopt.frontends.ell.expand import expand_predictors
from ellopt.frontends.ell.operations import EQUAL_SIZES as OPERATIONS
from ellopt.frontends.ell.parse import ACTIVATIONS, PARSERS
from ellopt.frontends.ell.read import build_model
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from tests.support.drawn_layouts import Layout, dense, layouts, layouts_of_elements
from tests.support.general_nodes import GENERAL

Json = dict[str, Any]
Draw = st.DrawFn

LARGEST = float(np.finfo(np.float32).max)
SCHEMES = (0, 1, 4, 5)
MAX_ELEMENTS = 1600

#: Every kind of node that the reader knows, but the ends of the model.
KINDS = (*sorted(set(PARSERS) - {"InputNode", "OutputNode"}), "NeuralNetworkPredictorNode")


@dataclass(frozen=True, repr=False)
class Network:
    """A drawn model and an input for it."""

    text: str
    model: Model
    values: FloatArray


@dataclass
class _Builder:
    draw: Draw
    rng: np.random.Generator
    element: str
    nodes: list[Json] = field(default_factory=list)
    written: dict[str, Layout] = field(default_factory=dict)
    #: what a port says that reads no whole output, by a name for it
    parts: dict[str, str] = field(default_factory=dict)

    def add(self, type_name: str, ports: dict[str, str], written: Layout, **fields: Any) -> str:
        node_id = str(1000 + len(self.nodes))
        inputs = {
            key: {
                "_type": f"InputPort<{self.element}>",
                "_version": "0",
                "nodeId": node_id,
                "name": key,
                "input": self.elements_of(source),
            }
            for key, source in ports.items()
        }
        self.nodes.append({"_type": type_name, "_version": "5", "id": node_id, **inputs, **fields})
        self.written[node_id] = written
        return node_id

    def elements_of(self, node_id: str) -> str:
        """The whole output of a node, in one of the ways to say that."""
        count = self.written[node_id].elements
        if node_id in self.parts:
            return self.parts[node_id]
        cut = self.draw(st.integers(0, 8))
        if cut == 0:
            return f"{node_id}.output[0:{count}]"
        if 1 < cut + 1 < count and cut < 3:
            return f"{{{node_id}.output[0:{cut}], {node_id}.output[{cut}:{count}]}}"
        return f"{node_id}.output"

    def part(self) -> str:
        """A name for a part of an output, or for several joined, that any port may read."""
        names = [name for name in self.written if name not in self.parts]
        texts, count = [], 0
        for _ in range(self.draw(st.integers(1, 3))):
            source = self.draw(st.sampled_from(names))
            most = self.written[source].elements
            first = self.draw(st.integers(0, most - 1))
            last = self.draw(st.integers(first + 1, most))
            texts.append(f"{source}.output[{first}:{last}]" if last > first + 1 else f"{source}.output[{first}]")
            count += last - first
        name = f"part {len(self.parts)}"
        self.parts[name] = "{" + ", ".join(texts) + "}" if len(texts) > 1 else texts[0]
        self.written[name] = dense((1, 1, count))
        return name

    def floats(self, count: int, scale: float = 1.0) -> list[float]:
        return [float(v) for v in (self.rng.normal(size=count) * scale).astype(np.float32)]

    def number(self) -> float:
        return self.draw(st.sampled_from((0.0, -1.0, 1.0, -2.5, 0.3, LARGEST, -LARGEST)))

    def source(self) -> str:
        """A result to read: mostly the last, sometimes one of long ago."""
        names = list(self.written)
        return names[-1] if self.draw(st.integers(0, 2)) else self.draw(st.sampled_from(names))

    def read(self, source: str) -> Layout:
        """How a layer reads ``source``: as it was written, or otherwise."""
        written = self.written[source]
        return self.draw(layouts_of_elements(written.elements)) if self.draw(st.integers(0, 5)) == 0 else written

    def read_window(self) -> tuple[str, Layout]:
        """A source and a layout with a border that a window may have: as much above as to the left of the tensor."""
        source = self.source()
        if self.draw(st.booleans()):
            source = self.reorder(source, mostly_dense=False)
        read = self.read(source)
        if read.offset[0] == read.offset[1] and read.extent[2] == read.size[2]:
            return source, read
        padding = self.draw(st.integers(0, 2))
        rows, columns, channels = read.size
        below, right = (self.draw(st.integers(0, 2)) for _ in range(2))
        extent = (rows + padding + below, columns + padding + right, channels)
        source = self.reorder(source, written=Layout(read.size, extent, (padding, padding, 0)), read=read)
        return source, self.written[source]

    def reorder(
        self, source: str, kind: str = "ReorderDataCodeNode", mostly_dense: bool = True, **given: Layout
    ) -> str:
        read = given.get("read") or self.read(source)
        written = given.get("written") or self.draw(layouts(read.size, mostly_dense))
        fields: Json = {"outputLayout": written.json}
        if self.draw(st.integers(0, 3)):
            fields["paddingValue"] = self.number()
        if read != self.written[source] or self.draw(st.booleans()):
            fields["inputLayout"] = read.json
        return self.add(f"{kind}<{self.element}>", {"input": source}, written, **fields)

    def layer(self, kind: str, source: str, read: Layout, size: Sequence[int], fields: Json, variant: str = "") -> str:
        written = self.draw(layouts(tuple(size)))
        element = f"<{self.element}{',' + variant if variant else ''}>"
        layer = {
            "_type": f"{kind}Layer{element}",
            "_version": "0",
            "inputPaddingScheme": self.draw(st.sampled_from(SCHEMES)),
            "inputPaddingSize": read.offset[0],
            "outputShape": list(written.extent),
            "outputPaddingScheme": self.draw(st.sampled_from(SCHEMES)),
            "outputPaddingSize": written.offset[0],
            **fields,
        }
        shared = {"inputLayout": read.json, "outputLayout": written.json, "inputShape": list(read.extent)}
        return self.add(f"{kind}LayerNode{element}", {"input": source}, written, **shared, layer=layer)

    def node(self, kind: str) -> str:
        draw = self.draw
        if kind == "ConstantNode":
            given = draw(layouts(self.written[self.source()].size))
            return self.add(f"{kind}<{self.element}>", {}, given, layout=given.json, values=self.floats(given.elements))
        if kind in ("ReorderDataCodeNode", "ReorderDataNode"):
            return self.reorder(self.source(), kind)
        if kind == "ReinterpretLayoutNode":
            source = self.source()
            given = draw(layouts_of_elements(self.written[source].elements))
            return self.add(f"{kind}<{self.element}>", {"input": source}, given, outputLayout=given.json)
        if kind == "BinaryOperationNode":
            return self.binary()
        if kind in GENERAL:
            return GENERAL[kind](self, kind)
        if kind == "ConvolutionalLayerNode":
            return self.convolution()
        if kind == "PoolingLayerNode":
            return self.pooling()
        if kind == "NeuralNetworkPredictorNode":
            return self.predictor()
        source = self.source()
        read = self.read(source)
        channels = read.size[2]
        name = kind.removesuffix("LayerNode")
        if name == "FullyConnected":
            spatial = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
            size = (*(spatial if draw(st.booleans()) else (1, 1)), draw(st.integers(1, 19)))
            rows, columns = prod(size), prod(read.size)
            weights = self.floats(rows * columns, 1 / np.sqrt(columns))
            fields: Json = {"weights_rows": rows, "weights_columns": columns, "weights_values": weights}
            return self.layer(name, source, read, size, fields)
        if name == "Activation":
            fields = {"activation": self.activation(read.size)}
        else:
            fields = {
                "Bias": {"bias": self.floats(channels)},
                "Scaling": {"scales": self.floats(channels)},
                "BatchNormalization": {
                    "multiplicationValues": self.floats(channels), "additionValues": self.floats(channels)
                },
                "Softmax": {},
            }[name]  # fmt: skip
        return self.layer(name, source, read, read.size, fields)

    def activation(self, size: Sequence[int]) -> Json:
        kind = self.draw(st.sampled_from(sorted(ACTIVATIONS)))
        fields: Json = {}
        if kind == "LeakyReLUActivation":
            fields["leakyFactor"] = self.draw(st.sampled_from((0.1, 0.0, 2.0, -0.5)))
        if kind == "ParametricReLUActivation":
            shape = dict(zip(("alpha_rows", "alpha_columns", "alpha_channels"), size, strict=True))
            fields = {**shape, "alpha_values": self.floats(prod(size))}
        return {"_type": f"{kind}<{self.element}>", "_version": "0", **fields}

    def convolution(self) -> str:
        draw = self.draw
        source, read = self.read_window()
        extent, channels = read.extent, read.size[2]
        field_ = draw(st.sampled_from([n for n in (1, 2, 3, 3, 5) if n <= min(extent[:2])]))
        stride = draw(st.integers(1, 3))
        depthwise = channels > 1 and draw(st.booleans())
        filters = channels if depthwise else draw(st.integers(1, 19))
        most = [(n - field_) // stride + 1 for n in extent[:2]]
        size = tuple(n if draw(st.integers(0, 3)) else draw(st.integers(1, n)) for n in most)
        depth = 1 if depthwise else channels
        weights = {"weights_rows": filters * field_, "weights_columns": field_, "weights_channels": depth}
        values = self.floats(filters * field_ * field_ * depth, 1 / np.sqrt(field_ * field_ * depth))
        fields = {"receptiveField": field_, "stride": stride, "method": 0, **weights, "weights_values": values}
        return self.layer("Convolutional", source, read, (*size, filters), fields)

    def pooling(self) -> str:
        draw = self.draw
        source, read = self.read_window()
        stride = draw(st.integers(1, 3))
        size = [draw(st.integers(1, -(-n // stride))) for n in read.extent[:2]]
        if draw(st.booleans()):
            size = [-(-n // stride) for n in read.extent[:2]]
        fields = {"poolingSize": draw(st.integers(1, 5)), "stride": stride}
        function = draw(st.sampled_from(("MaxPoolingFunction", "MeanPoolingFunction")))
        return self.layer("Pooling", source, read, (*size, read.size[2]), fields, function)

    def binary(self) -> str:
        draw = self.draw
        first = self.source()
        read = self.read(first)
        same = [name for name, layout in self.written.items() if layout.size == read.size]
        if draw(st.booleans()) and same:
            second = draw(st.sampled_from(same))
        else:
            given = draw(layouts(read.size))
            values = self.floats(given.elements)
            second = self.add(f"ConstantNode<{self.element}>", {}, given, layout=given.json, values=values)
        written = draw(layouts(read.size))
        fields: Json = {"operation": draw(st.sampled_from(sorted(OPERATIONS))), "inputLayout1": read.json}
        if draw(st.booleans()):
            fields |= {"outputLayout": written.json, "padding": self.number()}
        else:
            written = read
        return self.add(f"BinaryOperationNode<{self.element}>", {"input1": first, "input2": second}, written, **fields)

    def predictor(self) -> str:
        """Layers inside a predictor: they know paddings only, no layouts."""
        draw, source = self.draw, self.source()
        if self.written[source] != dense(self.written[source].size):
            source = self.reorder(source, written=dense(self.written[source].size), read=self.written[source])
        rows, columns, channels = size = self.written[source].size

        def layer(kind: str, shape: Sequence[int], fields: Json, before: int, behind: int) -> Json:
            return {
                "_type": f"{kind}Layer<{self.element}>", "_version": "0",
                "inputPaddingScheme": 0, "inputPaddingSize": before, "outputShape": list(shape),
                "outputPaddingScheme": draw(st.sampled_from(SCHEMES)), "outputPaddingSize": behind, **fields,
            }  # fmt: skip

        padding = draw(st.integers(0, 1))
        data = {"data_rows": rows, "data_columns": columns, "data_channels": channels, "data_values": [0] * prod(size)}
        data["scale"] = draw(st.sampled_from((1, 0.5)))
        outer = (rows + 2 * padding, columns + 2 * padding, channels)
        first = layer("Input", outer, data, 0, padding)
        bias = layer("Bias", size, {"bias": self.floats(channels)}, padding, 0)
        activation = layer("Activation", size, {"activation": self.activation(size)}, 0, 0)
        predictor = {"inputLayer": first, "layers": [bias, activation], "output": [0]}
        type_name = f"NeuralNetworkPredictorNode<{self.element}>"
        return self.add(type_name, {"input": source}, dense(size), predictor=predictor)


@st.composite
def networks(draw: Draw, nodes: int = 7) -> Network:
    """A model of about ``nodes`` nodes, which may read any earlier result any number of times, or none at all."""
    builder = _Builder(
        draw, np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.sampled_from(("float", "double")))
    )
    sizes = [tuple(draw(st.integers(1, most)) for most in (7, 7, 9)) for _ in range(1 + (draw(st.integers(0, 4)) == 0))]
    for size in sizes:
        given = draw(layouts(size))
        builder.add(f"InputNode<{builder.element}>", {}, given, layout=given.json)
    input_ids = list(builder.written)
    for _ in range(draw(st.integers(1, nodes))):
        # What is read by windows or summed is what real networks are made of: half of all.
        common = ("ConvolutionalLayerNode", "ConvolutionalLayerNode", "BinaryOperationNode", "PoolingLayerNode")
        kind = draw(st.sampled_from(common if draw(st.booleans()) else KINDS))
        if draw(st.integers(0, 5)) == 0:
            builder.part()
        builder.node(kind)
        if builder.written[list(builder.written)[-1]].elements > MAX_ELEMENTS:
            break
    elements = [_ending(builder) for _ in range(1 + (draw(st.integers(0, 4)) == 0))]
    order = draw(st.permutations(builder.nodes)) if draw(st.integers(0, 3)) == 0 else builder.nodes
    data = {
        "_type": "Map", "_version": "2", "model": {"_type": "Model", "_version": "2", "nodes": order},
        "inputNames": ["input", "more"][: len(sizes)], "inputIds": draw(st.permutations(input_ids)),
        "outputNames": ["output"] * len(elements), "outputElements": elements,
    }  # fmt: skip
    text = json.dumps(data)
    values = draw(inputs(sizes[0] if len(sizes) == 1 else (1, 1, sum(map(prod, sizes)))))
    return Network(text, build_model(expand_predictors(Archive(Path("drawn.ell"), data))), values)


def _ending(builder: _Builder) -> str:
    """An output of the model: a node's, a part of one, or an output node's."""
    draw = builder.draw
    last = draw(st.sampled_from(list(builder.written)[-3:]))
    if draw(st.booleans()):
        return builder.elements_of(last)
    read = builder.read(last)
    fields = {"layout": read.json} if read != builder.written[last] or draw(st.booleans()) else {}
    return builder.add(f"OutputNode<{builder.element}>", {"input": last}, read, **fields) + ".output"


@st.composite
def inputs(draw: Draw, size: tuple[int, ...]) -> FloatArray:
    """Values of order one, in some of them NaN or infinite ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.normal(size=size).astype(np.float32)
    special = draw(st.sampled_from(("", "", "nan", "nan", "inf", "-inf", "all nan")))
    if special:
        share = 1.0 if special == "all nan" else draw(st.sampled_from((0.02, 0.2)))
        values[rng.random(size) < share] = float(special.removeprefix("all "))
        values.reshape(-1)[rng.integers(values.size)] = float(special.removeprefix("all "))
    return values


def read_again(network: Network, path: Path) -> Model:
    """The model of ``network`` by way of a file."""
    path.write_text(network.text)
    return build_model(expand_predictors(read_archive(path)))
