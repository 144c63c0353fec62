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
from ellopt.frontends.ell.parse import ACTIVATIONS, OPERATIONS, PARSERS
from ellopt.frontends.ell.read import build_model
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray

Json = dict[str, Any]
Draw = st.DrawFn

LARGEST = float(np.finfo(np.float32).max)
ORDERS = ((0, 1, 2), (0, 1, 2), (2, 0, 1), (1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0))
SCHEMES = (0, 1, 4, 5)
MAX_ELEMENTS = 1600

#: Every kind of node that the reader knows, but the ends of the model.
KINDS = (*sorted(set(PARSERS) - {"InputNode", "OutputNode"}), "NeuralNetworkPredictorNode")


@dataclass(frozen=True)
class Layout:
    """A memory layout as the file has it, but in logical order."""

    size: tuple[int, ...]
    extent: tuple[int, ...]
    offset: tuple[int, ...] = (0, 0, 0)
    order: tuple[int, ...] = (0, 1, 2)

    @property
    def elements(self) -> int:
        return prod(self.extent)

    @property
    def json(self) -> Json:
        physical = {name: [getattr(self, name)[d] for d in self.order] for name in ("size", "extent", "offset")}
        _, columns, channels = physical["extent"]
        increment = [columns * channels, channels, 1]
        return {"_type": "MemoryLayout", "_version": "0", **physical, "order": list(self.order), "increment": increment}


@dataclass(frozen=True, repr=False)
class Network:
    """A drawn model and an input for it."""

    text: str
    model: Model
    values: FloatArray


def dense(size: Sequence[int]) -> Layout:
    return Layout(tuple(size), tuple(size))


@st.composite
def layouts(draw: Draw, size: tuple[int, ...], mostly_dense: bool = True) -> Layout:
    """A layout of a tensor of ``size``: dense, with a border as layers have it, or with any border and order."""
    how = draw(st.sampled_from(("dense", "dense", "border", "any") if mostly_dense else ("border", "any")))
    if how == "dense":
        return dense(size)
    if how == "border":
        padding = draw(st.integers(1, 3))
        return Layout(size, (size[0] + 2 * padding, size[1] + 2 * padding, size[2]), (padding, padding, 0))
    before, behind = (tuple(draw(st.integers(0, 2)) for _ in size) for _ in range(2))
    extent = tuple(n + b + a for n, b, a in zip(size, before, behind, strict=True))
    return Layout(size, extent, before, draw(st.sampled_from(ORDERS)))


@st.composite
def layouts_of_elements(draw: Draw, elements: int) -> Layout:
    """Another way to look at a buffer of ``elements``."""
    divisors = [n for n in range(1, elements + 1) if elements % n == 0]
    rows = draw(st.sampled_from(divisors))
    columns = draw(st.sampled_from([n for n in divisors if elements // rows % n == 0]))
    extent = (rows, columns, elements // rows // columns)
    if draw(st.booleans()):
        return dense(extent)
    offset = tuple(draw(st.integers(0, (n - 1) // 2)) for n in extent)
    size = tuple(draw(st.integers(1, n - o)) for n, o in zip(extent, offset, strict=True))
    return Layout(size, extent, offset, draw(st.sampled_from(ORDERS)))


@dataclass
class _Builder:
    draw: Draw
    rng: np.random.Generator
    element: str
    nodes: list[Json] = field(default_factory=list)
    written: dict[str, Layout] = field(default_factory=dict)

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
        cut = self.draw(st.integers(0, 8))
        if cut == 0:
            return f"{node_id}.output[0:{count}]"
        if 1 < cut + 1 < count and cut < 3:
            return f"{{{node_id}.output[0:{cut}], {node_id}.output[{cut}:{count}]}}"
        return f"{node_id}.output"

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
    size = tuple(draw(st.integers(1, most)) for most in (7, 7, 9))
    given = draw(layouts(size))
    builder.add(f"InputNode<{builder.element}>", {}, given, layout=given.json)
    for _ in range(draw(st.integers(1, nodes))):
        # What is read by windows or summed is what real networks are made of: half of all.
        common = ("ConvolutionalLayerNode", "ConvolutionalLayerNode", "BinaryOperationNode", "PoolingLayerNode")
        kind = draw(st.sampled_from(common if draw(st.booleans()) else KINDS))
        builder.node(kind)
        if builder.written[list(builder.written)[-1]].elements > MAX_ELEMENTS:
            break
    names = list(builder.written)
    last = draw(st.sampled_from(names[-3:]))
    if draw(st.booleans()):
        elements = f"{last}.output"
    else:
        read = builder.read(last)
        fields = {"layout": read.json} if read != builder.written[last] or draw(st.booleans()) else {}
        elements = builder.add(f"OutputNode<{builder.element}>", {"input": last}, read, **fields) + ".output"
    order = draw(st.permutations(builder.nodes)) if draw(st.integers(0, 3)) == 0 else builder.nodes
    data = {
        "_type": "Map", "_version": "2", "model": {"_type": "Model", "_version": "2", "nodes": order},
        "inputNames": ["input"], "inputIds": ["1000"], "outputNames": ["output"], "outputElements": [elements],
    }  # fmt: skip
    text = json.dumps(data)
    return Network(text, build_model(expand_predictors(Archive(Path("drawn.ell"), data))), draw(inputs(size)))


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
