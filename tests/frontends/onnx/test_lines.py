"""Tensors that are one long line: threads share its pieces, and what is found of all of it is found many at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from tests.support.onnx_layers import Layers
from tests.support.onnx_models import make_model, runtime_outputs, save

COLUMNS = 20011


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("missing", [False, True])
def test_long_lines_are_computed_in_pieces(tmp_path: Path, threads: int, missing: bool) -> None:
    rng = np.random.default_rng(5)
    layers = Layers()
    numbers = layers.constant(rng.normal(size=(1, 1, 1, COLUMNS)).astype(np.float32))
    outputs = [layers.convolution("small", 8, 8, 1)]  # threads work where a convolution has them
    outputs += [layers.add(kind, layers.add("Abs", "x")) for kind in ("Sqrt", "Exp")]
    outputs += [layers.add(kind, "x", "y") for kind in ("Add", "Mul", "Sub")]
    outputs += [layers.add(kind, "x", numbers) for kind in ("Add", "Mul", "Max")]
    outputs.append(layers.add("Where", layers.add("Less", "x", numbers), "x", "y"))
    outputs += [layers.add(f"Reduce{kind}", "x", keepdims=1) for kind in ("Max", "Min", "Mean", "Sum")]
    inputs = {"small": (1, 8, 4, 4), "x": (1, 1, 1, COLUMNS), "y": (1, 1, 1, COLUMNS)}
    path = tmp_path / "lines.onnx"
    save(make_model(layers.nodes, inputs, outputs, layers.constants, opset=13), path)
    model = read_model(path)
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in inputs.items()}
    if missing:
        values["x"][0, 0, 0, 12345] = np.nan
    plan = Plan.of({node.node_id: ConvolutionOptions("unrolled", True) for node in model.convolutions})
    found = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=threads))
    for name, array in runtime_outputs(path, values).items():
        if missing and array.size == 1:  # onnxruntime's extremes leave out what is no number
            array = np.full_like(array, np.nan)
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4, err_msg=name)
