"""A registered ONNX model takes single arrays and batches as the file says their axes; by name, if it has several."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from mlflow import MlflowClient
from onnx import helper

from ellopt.core.errors import ConfigurationError
from ellopt.tracking.record import Registration
from ellopt.tracking.registry import register
from tests.support.onnx_models import convolution_model, make_model, runtime_outputs, save
from tests.support.tracking_servers import serving

SHAPES = {"left": (1, 3, 6, 7), "right": (1, 4, 6, 7)}


def registered(workplace: Path, model: object, shape: tuple[int, ...], *inputs: str) -> mlflow.pyfunc.PyFuncModel:
    """``model`` as it comes back from the registry. Its file is ``net.onnx``."""
    save(model, workplace / "net.onnx")
    client = MlflowClient()
    run = client.create_run("0").info.run_id
    register(client, run, Registration("net", "net.onnx", shape, inputs=inputs), workplace)
    return mlflow.pyfunc.load_model("models:/net@champion")


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
def test_a_batch_is_what_its_arrays_are(workplace: Path, kind: str) -> None:
    model = registered(workplace, convolution_model(), (1, 3, 8, 8), "x")
    images = (np.random.default_rng(1).random((3, 3, 8, 8)) * 9).astype(kind)
    outputs = model.predict(images)
    assert outputs.shape == (3, 4, 8, 8)
    for image, output in zip(images, outputs, strict=True):
        single = model.predict(image[np.newaxis])
        np.testing.assert_array_equal(single, output[np.newaxis])
        wanted = runtime_outputs(workplace / "net.onnx", {"x": image[np.newaxis].astype(np.float32)})["y"]
        np.testing.assert_allclose(single, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigurationError, match="8"):
        model.predict(images[:, :, :7])


def test_several_inputs_are_batches_by_their_names(workplace: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["left", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "right"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["c"], ["mean"]),
    ]
    model = registered(workplace, make_model(nodes, SHAPES, ["mean", "sum"], {"w": weights}), SHAPES["left"], *SHAPES)
    random = np.random.default_rng(2)
    batch = {name: random.normal(size=(2, *shape[1:])).astype(np.float32) for name, shape in SHAPES.items()}
    outputs = model.predict(batch)
    assert {name: values.shape for name, values in outputs.items()} == {"mean": (2, 4, 1, 1), "sum": (2, 4, 6, 7)}
    for i in range(2):
        wanted = runtime_outputs(workplace / "net.onnx", {name: values[i : i + 1] for name, values in batch.items()})
        for name, values in wanted.items():
            np.testing.assert_allclose(outputs[name][i : i + 1], values, rtol=1e-4, atol=1e-5)
    named = {name: values.tolist() for name, values in batch.items()}
    with serving("models:/net@champion", mlflow.get_tracking_uri()) as address:
        answer = requests.post(f"{address}/invocations", json={"inputs": named}, timeout=60)
        alone = {name: values[0].tolist() for name, values in batch.items()}
        wrong = requests.post(f"{address}/invocations", json={"inputs": {**alone, "left": [1.0]}}, timeout=60)
    assert answer.status_code == 200, answer.text
    for name, values in outputs.items():
        np.testing.assert_allclose(answer.json()["predictions"][name], values, rtol=1e-5, atol=1e-6)
    assert (wrong.status_code, "left" in wrong.text) == (400, True), wrong.text
    description = MlflowClient().get_model_version_by_alias("net", "champion").description
    assert "arrays by the names left, right, or batches of them" in description
    with pytest.raises(ConfigurationError, match="different sizes"):
        model.predict({**batch, "left": batch["left"][:1].repeat(3, axis=0)})
