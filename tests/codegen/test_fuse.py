"""Sums that a convolution takes with it, before its activation or behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellopt.codegen.lower import lower
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from tests.support.onnx_layers import Layers
from tests.support.onnx_models import runtime_outputs, save

METHODS = (
    ConvolutionOptions("simple"),
    ConvolutionOptions("unrolled"),
    ConvolutionOptions("winograd", winograd_tile_size=4),
)
SIZE = (1, 8, 9, 7)


def bottlenecks(layers: Layers) -> str:
    """As in YOLOv5 and v8: x + silu(conv(silu(conv(x)))), and the same with ReLU."""
    first = layers.silu(layers.convolution("x", 8, 8))
    second = layers.add(
        "Add", first, layers.silu(layers.convolution(layers.silu(layers.convolution(first, 8, 8)), 8, 8))
    )
    return layers.add("Add", layers.add("Relu", layers.convolution(second, 8, 8)), second)


def both(layers: Layers) -> str:
    """The sum of one result and of another's activation, with an activation of its own: before that of the first."""
    first, second = layers.convolution("x", 8, 8), layers.add("Relu", layers.convolution("x", 8, 8))
    return layers.add("Relu", layers.add("Add", first, second))


@pytest.mark.parametrize(
    ("build", "epilogues"),
    [
        (bottlenecks, ["bias swish", "bias swish", "bias swish residual", "bias relu residual"]),
        (both, ["bias relu", "bias residual relu"]),
    ],
)
def test_a_sum_is_part_of_a_convolution(build: Any, epilogues: list[str], tmp_path: Path) -> None:
    layers = Layers()
    output = build(layers)
    path = save(layers.model({"x": SIZE}, [output]), tmp_path / "m.onnx")
    model = read_model(path)
    network = lower(model)
    assert [step.shape.epilogue for step in network.convolutions] == epilogues
    assert {step.kind for step in network.steps} == {"convolution", "general"}
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    [wanted] = runtime_outputs(path, values).values()
    for shift in range(len(METHODS)):
        chosen = {node.node_id: METHODS[(k + shift) % 3] for k, node in enumerate(model.convolutions)}
        [found] = deploy.predict_all(model, values, deploy.RunSettings(Plan.of(chosen)), check=True).values()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
