"""Whole numbers and truth values are held as floats: those of inputs, places, and what Cast makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from ellopt.core.errors import ModelFormatError
from ellopt.deploy.ports import joined, parted
from ellopt.frontends.base import read_model
from ellopt.model import reference
from tests.support.onnx_layers import Layers
from tests.support.onnx_models import runtime_outputs, save


def written(layers: Layers, outputs: dict[str, int], path: Path, inputs: int = TensorProto.FLOAT) -> Path:
    """The model of ``x``, with the types of its outputs and of its input."""
    model = layers.model({"x": (1, 3, 8, 300)}, list(outputs))
    model.graph.input[0].type.tensor_type.elem_type = inputs
    for value in model.graph.output:
        value.type.tensor_type.elem_type = outputs[value.name]
    return save(model, path)


def compare(path: Path, x: np.ndarray) -> None:
    model = read_model(path)
    found = parted(model, reference.predict(model, joined(model, {"x": x.astype(np.float32)})))
    for name, wanted in runtime_outputs(path, {"x": x}).items():
        wanted = wanted.astype(np.float32)
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_places_and_truth_values_are_cast_to_whole_numbers(tmp_path: Path) -> None:
    """Segmentation: the class of each pixel as int32 or uint8, and a mask."""
    layers = Layers()
    scores = layers.convolution("x", 3, 5)
    place = layers.add("ArgMax", scores, axis=1, keepdims=0)
    mask = layers.add("Greater", scores, layers.constant(0.3))
    outputs = {layers.add("Cast", place, to=TensorProto.INT32): TensorProto.INT32}
    along_columns = layers.add("ArgMax", scores, axis=3)
    outputs[layers.add("Cast", along_columns, to=TensorProto.INT16)] = TensorProto.INT16
    for kind in (TensorProto.UINT8, TensorProto.INT64):
        outputs[layers.add("Cast", mask, to=kind)] = kind
    path = written(layers, outputs, tmp_path / "m.onnx")
    compare(path, np.random.default_rng(1).normal(size=(1, 3, 8, 300)).astype(np.float32))


@pytest.mark.parametrize(("axis", "refused"), [(1, False), (3, True)])
def test_places_that_a_type_may_not_hold_are_not_cast_to_it(axis: int, refused: bool, tmp_path: Path) -> None:
    """There are 300 columns."""
    layers = Layers()
    source = "x" if refused else layers.slice("x", 0, 200, 3)
    place = layers.add("ArgMax", source, axis=axis)
    path = written(layers, {layers.add("Cast", place, to=TensorProto.UINT8): TensorProto.UINT8}, tmp_path / "m.onnx")
    if not refused:
        compare(path, np.random.default_rng(1).normal(size=(1, 3, 8, 300)).astype(np.float32))
        return
    with pytest.raises(ModelFormatError, match="Cast from INT64 to UINT8 is not supported on what is computed"):
        read_model(path)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16])
def test_inputs_may_be_whole_numbers_that_are_cast(kind: int, tmp_path: Path) -> None:
    layers = Layers()
    image = layers.add("Cast", layers.transpose("x", 0, 1, 3, 2), to=TensorProto.FLOAT)
    result = layers.convolution(layers.add("Mul", image, layers.constant(1 / 255)), 3, 4)
    path = written(layers, {result: TensorProto.FLOAT}, tmp_path / "m.onnx", kind)
    dtype = np.dtype(TensorProto.DataType.Name(kind).lower())
    limits = np.iinfo(dtype)
    x = np.random.default_rng(1).integers(limits.min, limits.max, (1, 3, 8, 300), dtype, endpoint=True)
    compare(path, x)


def test_floats_are_not_rounded_to_whole_numbers(tmp_path: Path) -> None:
    layers = Layers()
    whole = layers.add("Cast", layers.convolution("x", 3, 4), to=TensorProto.INT32)
    path = written(layers, {layers.add("Cast", whole, to=TensorProto.FLOAT): TensorProto.FLOAT}, tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError, match="Cast from FLOAT to INT32 is not supported on what is computed"):
        read_model(path)
