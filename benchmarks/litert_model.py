"""Plain convolutional networks in LiteRT's format, written with the schema that its wheel brings.

What writes ``.tflite`` files elsewhere needs TensorFlow or PyTorch. This knows what ``ellopt convert`` writes of the
shared models: convolutions, depthwise or of one group, with their activation; sums, pooling, matrix multiplications,
softmax. Pixels have their channels last. Padding that is neither none nor LiteRT's own "same" is a step of its own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]
_IDENTIFIER = b"TFL3"
_VERSION = 3
#: Operations whose result is their input's, with or without another shape.
_PLAIN = ("Identity", "Flatten")


def write_litert(model: onnx.ModelProto, path: Path, site: Path) -> Path:
    """Write ``model`` to ``path``. ``site``: the folder with LiteRT's wheel and flatbuffers. Raises ValueError for what
    is not known."""
    sys.path.insert(0, str(site / "ai_edge_litert"))
    sys.path.insert(0, str(site))
    try:
        schema, flatbuffers = importlib.import_module("schema_py_generated"), importlib.import_module("flatbuffers")
    finally:
        del sys.path[:2]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(_Writer(model.graph, schema).model().Pack(builder), file_identifier=_IDENTIFIER)
    path.write_bytes(bytes(builder.Output()))
    return path


class _Writer:
    def __init__(self, graph: onnx.GraphProto, schema: Any) -> None:
        self._graph, self._s = graph, schema
        self._constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self._buffers: list[Any] = [schema.BufferT()]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[int] = []
        self._places: dict[str, int] = {}  # a name in ONNX -> a tensor

    def model(self) -> Any:
        s, graph = self._s, self._graph
        [given] = [i for i in graph.input if i.name not in self._constants]
        batch, channels, rows, columns = (d.dim_value for d in given.type.tensor_type.shape.dim)
        self._places[given.name] = source = self._tensor(given.name, (batch, rows, columns, channels))
        for node in graph.node:
            self._add(node)
        whole = s.SubGraphT(
            tensors=self._tensors,
            inputs=[source],
            outputs=[self._places[o.name] for o in graph.output],
            operators=self._operators,
            name="main",
        )
        codes = []
        for code in self._codes:
            # Readers of old files look at a byte, in which 127 says that the code is elsewhere.
            codes.append(s.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1))
        return s.ModelT(
            version=_VERSION, operatorCodes=codes, subgraphs=[whole], buffers=self._buffers, description="ellopt"
        )

    def _add(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Relu" and node.input[0] not in self._places:
            return  # the operation before it does that
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        name = node.input[0]
        if node.op_type in _PLAIN:
            self._places[node.output[0]] = self._places[name]
            return
        makers = {
            "Conv": self._conv, "Add": self._sum, "Gemm": self._gemm, "Relu": self._relu, "Softmax": self._softmax,
            "GlobalAveragePool": self._global_pool, "MaxPool": self._max_pool, "AveragePool": self._average_pool,
        }  # fmt: skip
        if node.op_type not in makers:
            raise ValueError(f"{node.op_type} is not written for LiteRT")
        result, activation = self._result(node)
        try:
            self._places[result] = makers[node.op_type](node, values, activation)
        except KeyError as error:  # a constant where a tensor is wanted, or a tensor where a constant is
            raise ValueError(f"{node.op_type} of {error} is not written for LiteRT") from error

    def _result(self, node: onnx.NodeProto) -> tuple[str, int]:
        """The name of what ``node`` leaves, and its activation: that of the step behind it, if that alone reads it."""
        kinds = self._s.ActivationFunctionType
        name = node.output[0]
        followers = [n for n in self._graph.node if name in n.input]
        if node.op_type in ("Conv", "Add", "Gemm") and [n.op_type for n in followers] == ["Relu"]:
            return followers[0].output[0], kinds.RELU
        return name, kinds.NONE

    # One for each operation: the tensor that it leaves.

    def _conv(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        s, weights = self._s, self._constants[node.input[1]]
        filters, depth, rows, columns = weights.shape
        if list(values.get("dilations", [1, 1])) != [1, 1]:
            raise ValueError("dilated convolutions are not written for LiteRT")
        source, padding, shape = self._padded(self._places[node.input[0]], values, (rows, columns))
        steps = dict(zip(("strideH", "strideW"), values.get("strides", [1, 1]), strict=True))
        shared: dict[str, Any] = {**steps, "padding": padding, "fusedActivationFunction": activation}
        shared |= {"dilationHFactor": 1, "dilationWFactor": 1}
        groups = values.get("group", 1)
        if groups == 1:
            order, code, kind = (0, 2, 3, 1), s.BuiltinOperator.CONV_2D, "Conv2DOptions"
        elif depth == 1 and filters == groups:
            order, code, kind = (1, 2, 3, 0), s.BuiltinOperator.DEPTHWISE_CONV_2D, "DepthwiseConv2DOptions"
            shared["depthMultiplier"] = 1
        else:
            raise ValueError("convolutions of several groups are not written for LiteRT")
        inputs = [source, self._constant(weights.transpose(order)), self._bias(node, filters)]
        return self._step(code, kind, shared, inputs, (1, *shape, filters))

    def _sum(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        inputs = [self._places[name] for name in node.input]
        options = {"fusedActivationFunction": activation}
        return self._step(self._s.BuiltinOperator.ADD, "AddOptions", options, inputs, self._shape(inputs[0]))

    def _global_pool(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        source = self._places[node.input[0]]
        window = tuple(self._shape(source)[1:3])
        return self._pool(self._s.BuiltinOperator.AVERAGE_POOL_2D, source, {"kernel_shape": window}, activation)

    def _max_pool(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        return self._pool(self._s.BuiltinOperator.MAX_POOL_2D, self._places[node.input[0]], values, activation)

    def _average_pool(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        return self._pool(self._s.BuiltinOperator.AVERAGE_POOL_2D, self._places[node.input[0]], values, activation)

    def _gemm(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        weights, source = self._constants[node.input[1]], self._places[node.input[0]]
        weights = weights if values.get("transB") else weights.T
        if len(size := self._shape(source)) == 4:  # ONNX has the channels of a pixel apart
            planes = weights.reshape(len(weights), size[3], size[1], size[2])
            weights = planes.transpose(0, 2, 3, 1).reshape(len(weights), -1)
        inputs = [source, self._constant(weights), self._bias(node, len(weights))]
        options = {"fusedActivationFunction": activation}
        code = self._s.BuiltinOperator.FULLY_CONNECTED
        return self._step(code, "FullyConnectedOptions", options, inputs, (1, len(weights)))

    def _relu(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        source = self._places[node.input[0]]
        return self._step(self._s.BuiltinOperator.RELU, "", {}, [source], self._shape(source))

    def _softmax(self, node: onnx.NodeProto, values: Mapping[str, Any], activation: int) -> int:
        source = self._places[node.input[0]]
        return self._step(
            self._s.BuiltinOperator.SOFTMAX, "SoftmaxOptions", {"beta": 1.0}, [source], self._shape(source)
        )

    # What they are made of

    def _pool(self, code: int, source: int, values: Mapping[str, Any], activation: int) -> int:
        if any(values.get("pads", ())):
            raise ValueError("padded pooling is not written for LiteRT")
        rows, columns = values["kernel_shape"]
        down, right = values.get("strides", (1, 1))
        _, high, wide, channels = self._shape(source)
        options = {"padding": self._s.Padding.VALID, "filterHeight": rows, "filterWidth": columns}
        options |= {"strideH": down, "strideW": right, "fusedActivationFunction": activation}
        shape = (1, (high - rows) // down + 1, (wide - columns) // right + 1, channels)
        return self._step(code, "Pool2DOptions", options, [source], shape)

    def _padded(
        self, source: int, values: Mapping[str, Any], window: Sequence[int]
    ) -> tuple[int, int, tuple[int, int]]:
        """The input with its border where LiteRT's own padding is another one, that padding, and the result's size."""
        top, left, bottom, right = values.get("pads", (0, 0, 0, 0))
        _, rows, columns, channels = self._shape(source)
        down, across = values.get("strides", (1, 1))
        size = ((rows + top + bottom - window[0]) // down + 1, (columns + left + right - window[1]) // across + 1)
        same = []
        for length, given, step, extent in ((rows, size[0], down, window[0]), (columns, size[1], across, window[1])):
            total = max(0, (given - 1) * step + extent - length)
            same += [total // 2, total - total // 2] if given == -(-length // step) else [-1, -1]
        if same == [top, bottom, left, right]:
            return source, self._s.Padding.SAME, size
        if any((top, left, bottom, right)):
            border = self._constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
            shape = (1, rows + top + bottom, columns + left + right, channels)
            source = self._step(self._s.BuiltinOperator.PAD, "PadOptions", {}, [source, border], shape)
        return source, self._s.Padding.VALID, size

    def _step(
        self, code: int, kind: str, values: Mapping[str, Any], inputs: Sequence[int], shape: Sequence[int]
    ) -> int:
        s = self._s
        if code not in self._codes:
            self._codes.append(code)
        output = self._tensor(f"step {len(self._operators)}", shape)
        options = getattr(s, f"{kind}T")(**values) if kind else None
        self._operators.append(
            s.OperatorT(
                opcodeIndex=self._codes.index(code),
                inputs=list(inputs),
                outputs=[output],
                builtinOptionsType=getattr(s.BuiltinOptions, kind) if kind else 0,
                builtinOptions=options,
            )
        )
        return output

    def _bias(self, node: onnx.NodeProto, filters: int) -> int:
        return self._constant(self._constants[node.input[2]] if len(node.input) > 2 else np.zeros(filters, np.float32))

    def _constant(self, values: Array) -> int:
        self._buffers.append(self._s.BufferT(data=np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)))
        kind = self._s.TensorType.INT32 if values.dtype == np.int32 else self._s.TensorType.FLOAT32
        return self._tensor(f"constant {len(self._tensors)}", values.shape, len(self._buffers) - 1, kind)

    def _tensor(self, name: str, shape: Sequence[int], buffer: int = 0, kind: int = 0) -> int:
        self._tensors.append(self._s.TensorT(shape=list(map(int, shape)), type=kind, buffer=buffer, name=name))
        return len(self._tensors) - 1

    def _shape(self, tensor: int) -> list[int]:
        return list(self._tensors[tensor].shape)
