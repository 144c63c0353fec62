"""What files compute of constants means what it does in the file's own version of the operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.base import read_model
from ellopt.model import reference
from tests.support.onnx_models import Array, make_model, runtime_outputs, save

SHAPE = (1, 4, 6, 8)
RANDOM = np.random.default_rng(5)


def constant(name: str, values: Any) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(values), name))


def with_axes(kind: str, source: str, target: str, axes: list[int], opset: int) -> list[Any]:
    """Squeeze or Unsqueeze: axes became an input with version 13."""
    if opset < 13:
        return [helper.make_node(kind, [source], [target], axes=axes)]
    return [constant(f"{target}_axes", axes), helper.make_node(kind, [source, f"{target}_axes"], [target])]


def flattening(opset: int) -> tuple[list[Any], dict[str, Array]]:
    """A convolution whose weights are clipped, put together and normalised in the file, and x.view(x.size(0), -1, 4) as
    PyTorch writes it."""
    weights = RANDOM.normal(size=(4, 4, 3)).astype(np.float32)
    limits = {"min": -0.5, "max": 0.5} if opset < 11 else {}
    given = ["w"] if opset < 11 else ["w", "low", "high"]
    nodes = [
        *([constant("low", np.float32(-0.5)), constant("high", np.float32(0.5))] if opset >= 11 else []),
        helper.make_node("Clip", given, ["clipped"], **limits),
        helper.make_node("Softmax", ["clipped"], ["soft"], axis=1),
        *with_axes("Unsqueeze", "soft", "weights", [3], opset),
        helper.make_node("Conv", ["x", "weights"], ["c"], pads=[1, 0, 1, 0]),
        helper.make_node("Shape", ["c"], ["shape"]),
        constant("zero", np.int64(0)),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        *with_axes("Unsqueeze", "batch", "first", [0], opset),
        *(constant(name, np.int64(n)) for name, n in (("rest", -1), ("four", 4))),
        *with_axes("Unsqueeze", "rest", "second", [0], opset),
        *with_axes("Unsqueeze", "four", "third", [0], opset),
        helper.make_node("Concat", ["first", "second", "third"], ["view"], axis=0),
        helper.make_node("Reshape", ["c", "view"], ["y"]),
    ]
    return nodes, {"w": weights}


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_constants_are_computed_as_the_file_s_version_says(opset: int, tmp_path: Path) -> None:
    nodes, constants = flattening(opset)
    path = save(make_model(nodes, {"x": SHAPE}, ["y"], constants, opset), tmp_path / "m.onnx")
    x = RANDOM.normal(size=SHAPE).astype(np.float32)
    wanted = runtime_outputs(path, {"x": x})["y"]
    found = reference.predict(read_model(path), x.reshape(-1)).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert wanted.shape == (1, 48, 4)


@pytest.mark.parametrize("opset", [10, 13, 17, 19, 21])
def test_weights_that_are_held_as_bytes_are_floats_again(opset: int, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    constants = {
        "bytes": RANDOM.integers(-99, 99, (4, 4, 3, 3), np.int8),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(3, np.int8),
    }
    path = save(make_model(nodes, {"x": SHAPE}, ["y"], constants, opset), tmp_path / "m.onnx")
    x = RANDOM.normal(size=SHAPE).astype(np.float32)
    wanted = runtime_outputs(path, {"x": x})["y"]
    found = reference.predict(read_model(path), x.reshape(-1)).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_masks_that_nobody_reads_need_no_shape(tmp_path: Path) -> None:
    nodes = [helper.make_node("Dropout", ["x"], ["d", "mask"]), helper.make_node("Relu", ["d"], ["y"])]
    path = save(make_model(nodes, {"x": SHAPE}, ["y"], opset=7), tmp_path / "m.onnx")
    x = RANDOM.normal(size=SHAPE).astype(np.float32)
    found = reference.predict(read_model(path), x.reshape(-1)).reshape(SHAPE)
    np.testing.assert_array_equal(found, runtime_outputs(path, {"x": x})["y"])


def test_quantised_tensors_are_refused_as_what_they_are(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    constants = {"scale": np.array(0.02, np.float32), "zero": np.array(3, np.int8)}
    path = save(make_model(nodes, {"x": SHAPE}, ["y"], constants), tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError) as refused:
        read_model(path)
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        assert f"the operator {kind} is not supported: quantised models are not" in str(refused.value)


@pytest.mark.parametrize(
    ("nodes", "opset", "said"),
    [
        ([helper.make_node("Resize", ["x", "", "scales"], ["y"], name="up")], 11, "up (Resize)"),
        (
            [helper.make_node("Reshape", ["x", "shape"], ["y"], name="odd")],
            13,
            "[1, 4, 6, 8] cannot be reshaped to [7, 5]",
        ),
    ],
)
def test_nodes_that_are_not_as_their_operator_demands_are_named(
    nodes: list[Any], opset: int, said: str, tmp_path: Path
) -> None:
    constants = {"scales": np.ones(4, np.float32), "shape": np.array([7, 5])}
    path = save(make_model(nodes, {"x": SHAPE}, ["y"], constants, opset), tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError) as refused:
        read_model(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
