"""Images of few long rows, as lines of text: threads share columns in every step, borders and sums of pixels too."""

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


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_few_long_rows_are_computed_by_columns(tmp_path: Path, threads: int) -> None:
    rng = np.random.default_rng(8)
    layers = Layers()
    outputs, inputs = [], {}
    for rows, columns, channels in ((3, 97, 24), (7, 61, 40), (1, 130, 17), (2, 33, 200)):
        name = f"x{rows}"
        inputs[name] = (1, channels, rows, columns)
        wide = layers.add("Relu", layers.convolution(name, channels, 2 * channels, 1))
        deep = layers.convolution(wide, 2 * channels, 2 * channels, 5, group=2 * channels)
        share = layers.add(
            "Sigmoid", layers.convolution(layers.add("GlobalAveragePool", deep), 2 * channels, 2 * channels, 1)
        )
        scaled = layers.add("Mul", deep, share)
        joined = layers.add("Add", layers.convolution(scaled, 2 * channels, channels, 1), name)
        outputs.append(layers.convolution(joined, channels, 13, 3))
        outputs.append(layers.add("HardSigmoid", layers.add("Mul", wide, deep)))
        outputs += [
            layers.add(kind, wide, kernel_shape=[size, size], strides=[1, 2], pads=[size // 2] * 4)
            for kind in ("MaxPool", "AveragePool")
            for size in (3, 5)
        ]
        outputs += [layers.add("ReduceMean", deep, axes=[2, 3]), layers.add("ReduceSum", wide, keepdims=1)]
    path = tmp_path / "rows.onnx"
    save(make_model(layers.nodes, inputs, outputs, layers.constants, opset=12), path)
    model = read_model(path)
    plan = Plan.of({node.node_id: ConvolutionOptions("unrolled", True) for node in model.convolutions})
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in inputs.items()}
    found = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=threads))
    for name, array in runtime_outputs(path, values).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-3, err_msg=name)
