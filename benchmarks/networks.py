"""Writes networks of the usual kinds, with random weights, as ELL's importers write theirs.

    python -m benchmarks.networks vgg96 mobile96 --output networks

Beside every model lie an input and the output that the reference in double precision gives, as for the shared models.
So whatever is measured on those can be measured on networks that nothing was made for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.frontends.ell.read import read_model
from ellopt.model.reference import predict

CLASSES = 100
Size = tuple[int, int, int]


@dataclass
class Network:
    """Nodes one after the other. Every method adds some and returns the id of the last.

    ``random``: where weights come from; scaled so that values neither grow nor vanish from layer to layer.
    """

    random: np.random.Generator
    nodes: list[str] = field(default_factory=list)
    _sizes: dict[int, Size] = field(default_factory=dict)

    def input(self, side: int, channels: int = 3) -> int:
        node = self._next((side, side, channels))
        return self._add("InputNode<float>", "2", node, layout=layout((side, side, channels)))

    def convolution(
        self, source: int, filters: int, size: int = 3, stride: int = 1, depthwise: bool = False, relu: bool = True
    ) -> int:
        """Padded so that a stride of 1 keeps rows and columns; with bias and, if asked for, ReLU."""
        side, _, channels = self._sizes[source]
        padding = size // 2
        depth = 1 if depthwise else channels
        gain = 2.0 if relu else 0.5  # what is added to something else is smaller
        weights = self.random.normal(0, (gain / (size * size * depth)) ** 0.5, filters * size * size * depth)
        read = self._padded(source, padding)
        out = ((side + 2 * padding - size) // stride + 1,) * 2 + (filters,)
        node = self._layer(
            "ConvolutionalLayer", read, out, padding,
            receptiveField=size, stride=stride, method=0, numFiltersAtATime=1,
            weights_rows=filters * size, weights_columns=size, weights_channels=depth, weights_values=numbers(weights),
        )  # fmt: skip
        node = self._layer("BiasLayer", node, out, bias=numbers(self.random.normal(0, 0.1, filters)))
        return self.relu(node) if relu else node

    def relu(self, source: int) -> int:
        activation = '{"_type":"ReLUActivation<float>","_version":"0"}'
        return self._layer("ActivationLayer", source, self._sizes[source], activation=activation)

    def add(self, first: int, second: int) -> int:
        size = self._sizes[first]
        node = self._next(size)
        kinds = {"input1": port(node, first, "input1"), "input2": port(node, second, "input2")}
        kinds |= {"inputLayout1": layout(size), "inputLayout2": layout(size)}
        return self._add(
            "BinaryOperationNode<float>", "7", node, **kinds, operation='"add"', outputLayout=layout(size), padding=0
        )

    def max_pooling(self, source: int) -> int:
        side, _, channels = self._sizes[source]
        return self._pooling("MaxPoolingFunction", source, (side // 2, side // 2, channels), 2)

    def mean(self, source: int) -> int:
        """Over all rows and columns."""
        side, _, channels = self._sizes[source]
        return self._pooling("MeanPoolingFunction", source, (1, 1, channels), side)

    def classify(self, source: int) -> int:
        side, _, channels = self._sizes[source]
        inputs = side * side * channels
        weights = self.random.normal(0, inputs**-0.5, CLASSES * inputs)
        node = self._layer(
            "FullyConnectedLayer", source, (1, 1, CLASSES),
            weights_rows=CLASSES, weights_columns=inputs, weights_values=numbers(weights),
        )  # fmt: skip
        return self._layer("SoftmaxLayer", node, (1, 1, CLASSES))

    def save(self, last: int, path: Path) -> None:
        size = self._sizes[last]
        end = self._next(size)
        self._add("OutputNode<float>", "2", end, input=port(end, last), layout=layout(size))
        path.write_text(
            '{"_type":"Map","_version":"2","model":{"_type":"Model","_version":"2","nodes":['
            + ",\n".join(self.nodes)
            + ']},"inputNames":["input"],"inputIds":["1"],"outputNames":["output"],'
            + f'"outputElements":["{end}.output"]}}',
            encoding="utf-8",
        )

    def _padded(self, source: int, padding: int) -> int:
        if not padding:
            return source
        size = self._sizes[source]
        node = self._next(size)
        return self._add(
            "ReorderDataCodeNode<float>", "0", node,
            input=port(node, source), inputLayout=layout(size), outputLayout=layout(size, padding), paddingValue=0,
        )  # fmt: skip

    def _pooling(self, function: str, source: int, out: Size, size: int) -> int:
        return self._layer("PoolingLayer", source, out, function=function, poolingSize=size, stride=size)

    def _layer(self, kind: str, source: int, out: Size, padding: int = 0, function: str = "", **fields: Any) -> int:
        size = self._sizes[source]
        type_ = f"<float,{function}>" if function else "<float>"
        node = self._next(out)
        shape = f"[{size[0] + 2 * padding},{size[1] + 2 * padding},{size[2]}]"
        head: dict[str, Any] = {"_type": json.dumps(kind + type_), "_version": '"0"'}
        head |= {"inputPaddingScheme": 0, "inputPaddingSize": padding, "outputShape": json.dumps(out)}
        layer = {**head, "outputPaddingScheme": 0, "outputPaddingSize": 0, **fields}
        return self._add(
            f"{kind}Node{type_}", "5", node,
            input=port(node, source), inputLayout=layout(size, padding), outputLayout=layout(out), inputShape=shape,
            layer=_object(layer),
        )  # fmt: skip

    def _next(self, size: Size) -> int:
        node = len(self.nodes) + 1
        self._sizes[node] = size
        return node

    def _add(self, kind: str, version: str, node: int, **fields: Any) -> int:
        head: dict[str, Any] = {"_type": json.dumps(kind), "_version": json.dumps(version), "id": f'"{node}"'}
        self.nodes.append(_object({**head, **fields}))
        return node


def layout(size: Size, padding: int = 0) -> str:
    rows, columns, channels = size
    extent = (rows + 2 * padding, columns + 2 * padding, channels)
    return _object(
        {
            "_type": '"MemoryLayout"',
            "_version": '"0"',
            "size": json.dumps(size),
            "extent": json.dumps(extent),
            "offset": f"[{padding},{padding},0]",
            "order": "[0,1,2]",
            "increment": f"[{extent[1] * channels},{channels},1]",
        }
    )


def port(node: int, source: int, name: str = "input") -> str:
    return (
        f'{{"_type":"InputPort<float>","_version":"0","nodeId":"{node}","name":"{name}","type":1,'
        f'"input":"{source}.output"}}'
    )


def numbers(values: npt.NDArray[np.float64]) -> str:
    return "[" + ",".join(f"{value:.7g}" for value in values.astype(np.float32)) + "]"


def _object(fields: dict[str, Any]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}"


def vgg(network: Network, side: int, blocks: Sequence[tuple[int, int]]) -> int:
    """Blocks of so many 3x3 convolutions of so many filters, each with a pooling (Simonyan, Zisserman 2014)."""
    node = network.input(side)
    for count, filters in blocks:
        for _ in range(count):
            node = network.convolution(node, filters)
        node = network.max_pooling(node)
    return network.classify(node)


def mobilenet(network: Network, side: int, width: float) -> int:
    """Depthwise and 1x1 convolutions in turn (Howard et al. 2017)."""
    node = network.convolution(network.input(side), round(32 * width), stride=2)
    channels = round(32 * width)
    for filters, stride in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1),
    ):  # fmt: skip
        node = network.convolution(node, channels, stride=stride, depthwise=True)
        channels = round(filters * width)
        node = network.convolution(node, channels, size=1)
    return network.classify(network.mean(node))


def inverted(network: Network, side: int, width: float) -> int:
    """Inverted residuals with linear bottlenecks, ReLU for ReLU6 (Sandler et al. 2018)."""
    channels = round(32 * width)
    node = network.convolution(network.input(side), channels, stride=2)
    for expansion, filters, count, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        out = 8 * max(1, round(filters * width / 8))
        for i in range(count):
            stride = first if i == 0 else 1
            inside = node
            if expansion > 1:
                inside = network.convolution(inside, expansion * channels, size=1)
            inside = network.convolution(inside, expansion * channels, stride=stride, depthwise=True)
            inside = network.convolution(inside, out, size=1, relu=False)
            node = network.add(node, inside) if stride == 1 and channels == out else inside
            channels = out
    return network.classify(network.mean(network.convolution(node, round(1280 * width), size=1)))


def resnet(network: Network, side: int, stem: int, stages: Sequence[tuple[int, int]]) -> int:
    """Basic blocks; a stage after the first begins with a stride of 2 (He et al. 2015)."""
    node = network.convolution(network.input(side), stem)
    channels = stem
    for stage, (count, filters) in enumerate(stages):
        for i in range(count):
            stride = 2 if stage and i == 0 else 1
            inside = network.convolution(node, filters, stride=stride)
            inside = network.convolution(inside, filters, relu=False)
            if stride != 1 or channels != filters:
                node = network.convolution(node, filters, size=1, stride=stride, relu=False)
            node = network.relu(network.add(node, inside))
            channels = filters
    return network.classify(network.mean(node))


KINDS: dict[str, Callable[[Network], int]] = {
    "vgg96": lambda network: vgg(network, 96, ((2, 32), (2, 64), (3, 128), (3, 256))),
    "vgg40": lambda network: vgg(network, 40, ((2, 48), (2, 96), (2, 192))),
    "mobile96": lambda network: mobilenet(network, 96, 0.75),
    "mobile160": lambda network: mobilenet(network, 160, 0.5),
    "inverted96": lambda network: inverted(network, 96, 1.0),
    "resnet32": lambda network: resnet(network, 32, 16, ((5, 16), (5, 32), (5, 64))),
    "resnet96": lambda network: resnet(network, 96, 32, ((2, 32), (2, 64), (2, 128), (2, 256))),
}


def write(kind: str, folder: Path) -> Path:
    """Model, input and expected output, named as those of the shared models. Returns the model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    network = Network(np.random.default_rng(list(kind.encode())))
    path = folder / f"{kind}.ell"
    network.save(KINDS[kind](network), path)
    model = read_model(path)
    image = network.random.uniform(0, 1, model.input.output_layout.size).astype(np.float32)
    np.save(folder / f"{kind}.input.npy", image)
    np.save(folder / f"{kind}.expected.npy", predict(model, image))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--output", "-o", type=Path, default=Path("out/networks"), help="folder to write to")
    arguments = parser.parse_args()
    for kind in arguments.kinds or KINDS:
        if kind not in KINDS:
            parser.error(f"{kind}: not one of {', '.join(KINDS)}")
        print(write(kind, arguments.output))


if __name__ == "__main__":
    main()
