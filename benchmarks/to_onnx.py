"""Writes an ELL model as ONNX, so that other runtimes can run the very same network.

Rows x columns x channels become channels x rows x columns, ONNX's own order: what these runtimes are made for. A
batch normalisation is written as such where the model has one; runtimes fold it themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ellopt.frontends.ell.read import read_model
from ellopt.model import layers
from ellopt.model.graph import Model
from ellopt.model.layers import Node


class _Graph:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._names: dict[str, str] = {}
        self._by_id = model.by_id

    def build(self, skip_softmax: bool) -> onnx.ModelProto:
        inputs, outputs = [], []
        for node in self._model.nodes:
            if isinstance(node, layers.Input):
                self._names[node.node_id] = "input"
                inputs.append(self._value("input", node))
            elif isinstance(node, layers.Output):
                self._nodes.append(helper.make_node("Identity", [self._names[node.inputs[0]]], ["output"]))
                outputs.append(self._value("output", node))
            elif isinstance(node, layers.Reorder | layers.Reinterpret) or (
                skip_softmax and isinstance(node, layers.Softmax)
            ):
                self._names[node.node_id] = self._names[node.inputs[0]]
            else:
                self._add(node)
        graph = helper.make_graph(self._nodes, self._model.name, inputs, outputs, self._weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(made)
        return made

    @staticmethod
    def _value(name: str, node: Node) -> onnx.ValueInfoProto:
        rows, columns, channels = node.output_layout.size
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, rows, columns])

    def _weight(self, node: Node, kind: str, values: np.ndarray) -> str:
        name = f"{kind}_{node.node_id}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, np.float32, order="C"), name))
        return name

    def _per_channel(self, node: Node, kind: str, values: np.ndarray) -> str:
        return self._weight(node, kind, values.reshape(1, -1, 1, 1))

    def _op(self, node: Node, kind: str, *inputs: str, **attributes: Any) -> None:
        name = f"node_{node.node_id}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        self._names[node.node_id] = name

    def _add(self, node: Node) -> None:
        first = self._names[node.inputs[0]]
        if isinstance(node, layers.Convolution):
            layout = node.input_layouts[0]
            pads = self._pads(node)
            group = layout.size[2] if node.depthwise else 1
            weights = self._weight(node, "weights", node.weights.transpose(0, 3, 1, 2))
            field = [node.receptive_field] * 2
            self._op(
                node, "Conv", first, weights, group=group, kernel_shape=field, strides=[node.stride] * 2, pads=pads
            )
        elif isinstance(node, layers.Bias):
            if not self._fold_bias(node):
                self._op(node, "Add", first, self._per_channel(node, "bias", node.bias))
        elif isinstance(node, layers.Scaling):
            self._op(node, "Mul", first, self._per_channel(node, "scale", node.scales))
        elif isinstance(node, layers.BatchNormalization):
            size = node.multiplication.size
            names = [
                self._weight(node, "scale", node.multiplication),
                self._weight(node, "shift", node.addition),
                self._weight(node, "mean", np.zeros(size)),
                self._weight(node, "variance", np.ones(size)),
            ]
            self._op(node, "BatchNormalization", first, *names, epsilon=0.0)
        elif isinstance(node, layers.Activation):
            self._activation(node, first)
        elif isinstance(node, layers.Pooling):
            self._pooling(node, first)
        elif isinstance(node, layers.FullyConnected):
            rows, columns, channels = node.input_layouts[0].size
            values = node.weights.reshape(-1, rows, columns, channels).transpose(0, 3, 1, 2)
            weights = self._weight(node, "weights", values)
            self._op(node, "Conv", first, weights, kernel_shape=[rows, columns], strides=[1, 1], pads=[0, 0, 0, 0])
        elif isinstance(node, layers.Softmax):
            self._op(node, "Softmax", first, axis=1)
        elif isinstance(node, layers.BinaryOperation):
            kinds = {"add": "Add", "subtract": "Sub", "coordinatewiseMultiply": "Mul", "divide": "Div"}
            self._op(node, kinds[node.operation], first, self._names[node.inputs[1]])
        else:
            raise NotImplementedError(f"node {node.node_id}: {node.type_name}")

    def _fold_bias(self, node: layers.Bias) -> bool:
        """Gives the bias to the convolution before it, as exporters do."""
        source = self._by_id[node.inputs[0]]
        if not isinstance(source, layers.Convolution | layers.FullyConnected):
            return False
        self._nodes[-1].input.append(self._weight(node, "bias", node.bias))
        self._names[node.node_id] = self._names[source.node_id]
        return True

    @staticmethod
    def _pads(node: layers.Convolution) -> list[int]:
        layout = node.input_layouts[0]
        top, left = layout.offset[:2]
        bottom, right = (layout.extent[i] - layout.size[i] - layout.offset[i] for i in (0, 1))
        return [top, left, bottom, right]

    def _activation(self, node: layers.Activation, first: str) -> None:
        kinds = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "hard_sigmoid": "HardSigmoid"}
        if node.function in kinds:
            self._op(node, kinds[node.function], first)
        elif node.function == "leaky_relu":
            self._op(node, "LeakyRelu", first, alpha=node.leaky_factor)
        elif node.function == "parametric_relu" and node.alpha is not None:
            self._op(node, "PRelu", first, self._weight(node, "alpha", node.alpha.transpose(2, 0, 1)))
        else:
            low, high = (self._weight(node, name, np.array(x)) for name, x in (("low", -1), ("high", 1)))
            self._op(node, "Clip", first, low, high)

    def _pooling(self, node: layers.Pooling, first: str) -> None:
        rows, columns, _ = node.input_layouts[0].size
        size, stride = node.pooling_size, node.stride
        out_rows, out_columns = node.output_layout.size[:2]
        if node.function == "mean" and (out_rows, out_columns) == (1, 1) and rows == columns == size:
            self._op(node, "GlobalAveragePool", first)
            return
        ends = [
            max(0, (out - 1) * stride + size - extent - node.padding)
            for out, extent in ((out_rows, rows), (out_columns, columns))
        ]
        kind = "MaxPool" if node.function == "max" else "AveragePool"
        attributes = {} if node.function == "max" else {"count_include_pad": 0}
        pads = [node.padding, node.padding, *ends]
        self._op(node, kind, first, kernel_shape=[size, size], strides=[stride, stride], pads=pads, **attributes)


def to_onnx(model: Model, skip_softmax: bool = False) -> onnx.ModelProto:
    """``model`` in ONNX, input and output named so; ``skip_softmax`` leaves softmax layers out (to compare logits)."""
    return _Graph(model).build(skip_softmax)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--logits", action="store_true", help="leave softmax layers out")
    arguments = parser.parse_args()
    onnx.save(to_onnx(read_model(arguments.model), arguments.logits), str(arguments.output))


if __name__ == "__main__":
    main()
