"""What is written for LiteRT, read back by a pretended schema and computed by NumPy, is what the model computes."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.litert_model import write_litert
from ellopt.frontends.onnx.write.writer import to_onnx
from ellopt.model.reference import predict
from tests.support.networks import ModelMaker

FloatArray = npt.NDArray[np.float32]
CODES = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "FULLY_CONNECTED",
    "RELU",
    "SOFTMAX",
    "PAD",
)
#: The wheel's schema and flatbuffers, as far as they are used: objects that keep what they are given.
SCHEMA = f"""
from types import SimpleNamespace
class BuiltinOperator: {"; ".join(f"{name} = {i}" for i, name in enumerate(CODES))}
class Padding: SAME, VALID = 0, 1
class ActivationFunctionType: NONE, RELU = 0, 1
class TensorType: FLOAT32, INT32 = 0, 2
class BuiltinOptions:
    Conv2DOptions = DepthwiseConv2DOptions = AddOptions = Pool2DOptions = 1
    FullyConnectedOptions = SoftmaxOptions = PadOptions = 1
class ModelT(SimpleNamespace):
    def Pack(self, builder): return SimpleNamespace(**vars(self))
def __getattr__(name):
    if not name.endswith("T"): raise AttributeError(name)
    return SimpleNamespace
"""
FLATBUFFERS = """
import pickle
class Builder:
    def __init__(self, size): pass
    def Finish(self, root, file_identifier): self.found = pickle.dumps((file_identifier, root))
    def Output(self): return self.found
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("schema_py_generated", "flatbuffers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert/schema_py_generated.py").write_text(SCHEMA)
    (tmp_path / "flatbuffers.py").write_text(FLATBUFFERS)
    return tmp_path


def computed(model: Any, image: FloatArray) -> FloatArray:
    """The model's output by what the format says of each step; ``image``: rows x columns x channels."""
    graph = model.subgraphs[0]
    values: dict[int, Any] = {}
    for i, tensor in enumerate(graph.tensors):
        if tensor.buffer:
            kind = np.int32 if tensor.type else np.float32
            values[i] = np.frombuffer(model.buffers[tensor.buffer].data.tobytes(), kind).reshape(tensor.shape)
    values[graph.inputs[0]] = image[None]
    for step in graph.operators:
        given, options = [values[i] for i in step.inputs], step.builtinOptions
        found = _step(CODES[model.operatorCodes[step.opcodeIndex].builtinCode], given, options)
        if getattr(options, "fusedActivationFunction", 0):
            found = np.maximum(found, 0)
        assert list(found.shape) == graph.tensors[step.outputs[0]].shape
        values[step.outputs[0]] = found
    return np.asarray(values[graph.outputs[0]])


def _step(name: str, given: list[Any], options: Any) -> Any:
    x = given[0]
    match name:
        case "CONV_2D":
            found = np.einsum("bijcyx,fyxc->bijf", _windows(x, given[1].shape[1:3], options), given[1])
            return found + given[2]
        case "DEPTHWISE_CONV_2D":
            return np.einsum("bijcyx,yxc->bijc", _windows(x, given[1].shape[1:3], options), given[1][0]) + given[2]
        case "AVERAGE_POOL_2D":
            return _windows(x, (options.filterHeight, options.filterWidth), options).mean(axis=(4, 5))
        case "MAX_POOL_2D":
            return _windows(x, (options.filterHeight, options.filterWidth), options).max(axis=(4, 5))
        case "PAD":
            return np.pad(x, given[1])
        case "ADD":
            return x + given[1]
        case "RELU":
            return np.maximum(x, 0)
        case "FULLY_CONNECTED":
            return x.reshape(1, -1) @ given[1].T + given[2]
        case "SOFTMAX":
            powers = np.exp(x - x.max())
            return powers / powers.sum()
    raise AssertionError(name)


def _windows(x: Any, window: tuple[int, int], options: Any) -> Any:
    steps = (options.strideH, options.strideW)
    if options.padding == 0:
        border = []
        for length, step, extent in zip(x.shape[1:3], steps, window, strict=True):
            total = max(0, (-(-length // step) - 1) * step + extent - length)
            border.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *border, (0, 0)])
    return sliding_window_view(x, window, (1, 2))[:, :: steps[0], :: steps[1]]


def network(seed: int) -> ModelMaker:
    """A border of its own kind, LiteRT's, none; a residual; pooling; a matrix multiplication."""
    maker = ModelMaker(np.random.default_rng(seed))
    at = maker.reorder(maker.input(16, 16, 3), padding=1)
    at = maker.activation(maker.convolution(at, 8, 3, 2), "relu", padding=1)
    first = maker.activation(maker.convolution(at, 8, 3, 1, True), "relu", padding=1)
    second = maker.convolution(first, 8, 3)
    at = maker.activation(maker.binary(maker.reorder(first), second, "add"), "relu")
    at = maker.pooling(at, "max", 2, 2)
    at = maker.fully_connected(maker.convolution(at, 6, 1), 5)
    maker.output(maker.softmax(at))
    return maker


@pytest.mark.parametrize("seed", range(3))
def test_it_computes_what_the_model_does(seed: int, site: Path) -> None:
    model = network(seed).model()
    path = write_litert(to_onnx(model), site / "model.tflite", site)
    identifier, written = pickle.loads(path.read_bytes())
    assert (identifier, written.version) == (b"TFL3", 3)
    image = np.random.default_rng(seed).standard_normal((16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(computed(written, image).reshape(-1), predict(model, image).reshape(-1), atol=1e-5)


def test_an_operation_that_is_not_known_is_named(site: Path) -> None:
    value = onnx.helper.make_tensor_value_info("a", 1, [1, 1, 2, 2])
    node = onnx.helper.make_node("Sin", ["a"], ["b"])
    graph = onnx.helper.make_graph([node], "g", [value], [value])
    with pytest.raises(ValueError, match="Sin is not written for LiteRT"):
        write_litert(onnx.helper.make_model(graph), site / "model.tflite", site)
