"""Pixels that move and are then convolved: they are written with the border that the convolution reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from ellopt.codegen.lower import lower
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.model.graph import Model
from tests.support.onnx_layers import Layers
from tests.support.onnx_models import make_model, runtime_outputs, save


def integers(layers: Layers, *values: int) -> str:
    return layers.constant(np.array(values))


def moved(layers: Layers, kind: str, source: str, rows: int, columns: int) -> str:
    """``source`` of 8 channels, moved; ``kind`` says how."""
    match kind:
        case "shuffled":
            parts = layers.reshape(source, 1, 2, 4, rows, columns)
            return layers.reshape(layers.transpose(parts, 0, 2, 1, 3, 4), 1, 8, rows, columns)
        case "turned":
            return layers.transpose(source, 0, 1, 3, 2)
        case "rolled":
            return layers.transpose(source, 0, 3, 1, 2)
        case "cut":
            return layers.add("Slice", source, *(integers(layers, n) for n in (-1, -9999, 3, -2)))
        case "padded":
            return layers.add("Pad", source, integers(layers, 0, 0, 2, 1, 0, 0, 0, 3), layers.constant(np.float32(0.5)))
        case "mirrored":
            return layers.add("Pad", source, integers(layers, 0, 0, 1, 2, 0, 0, 1, 2), mode="reflect")
        case "channels":
            return layers.add("Gather", source, integers(layers, 5, 0, 0, 7, 2), axis=1)
        case "spread":
            return layers.add("DepthToSpace", source, blocksize=2)
        case _:
            return layers.add("SpaceToDepth", source, blocksize=2)


KINDS = ("shuffled", "turned", "rolled", "cut", "padded", "mirrored", "channels", "spread", "gathered")


def model_of(folder: Path, rows: int, columns: int) -> tuple[Path, Model]:
    """Each kind of move, of the input and of what a convolution computes, with a 3x3 convolution behind it."""
    layers = Layers()
    outputs = []
    computed = layers.convolution("x", 8, 8, 1)
    for kind in KINDS:
        for source in ("x", computed):
            found = moved(layers, kind, source, rows, columns)
            channels = {"rolled": columns, "channels": 5, "spread": 2, "gathered": 32}.get(kind, 8)
            outputs.append(layers.convolution(found, channels, 4, 3))
    path = folder / "model.onnx"
    save(make_model(layers.nodes, {"x": (1, 8, rows, columns)}, outputs, layers.constants, opset=18), path)
    return path, read_model(path)


def test_moved_pixels_have_the_border_that_is_read(tmp_path: Path) -> None:
    path, model = model_of(tmp_path, 6, 10)
    plan = Plan.of({node.node_id: ConvolutionOptions("unrolled", True) for node in model.convolutions})
    values = {"x": np.random.default_rng(1).normal(size=(1, 8, 6, 10)).astype(np.float32)}
    found = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=2), check=True)
    for name, array in runtime_outputs(path, values).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5 * np.abs(array).max(), err_msg=name)


def test_moved_pixels_are_not_copied_for_a_border(tmp_path: Path) -> None:
    _, model = model_of(tmp_path, 6, 10)
    network = lower(model)
    moves = [step for step in network.steps if step.kind == "general"]
    assert len(moves) > 2 * len(KINDS)
    assert sum(bool(network.tensors[step.output].border) for step in moves) >= 2 * len(KINDS)
    assert not [step.node_ids for step in network.steps if step.kind == "copy"]


def test_what_moves_nothing_is_no_step(tmp_path: Path) -> None:
    """Such as a slice of everything, and the transposition of one channel, at an output; what takes a part does
    move."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["maps"]),
        node("Slice", ["maps", "first", "last"], ["all"]),
        node("Sigmoid", ["all"], ["sure"]),
        node("Transpose", ["sure"], ["y"], perm=[0, 2, 3, 1]),
    ]
    weights = {"w": np.random.default_rng(3).normal(size=(1, 4, 1, 1)).astype(np.float32)}
    bounds = {"first": np.array([0, 0, -6]), "last": np.array([1, 2**31, 6])}
    path = tmp_path / "model.onnx"
    save(make_model(nodes, {"x": (1, 4, 6, 10)}, ["y"], weights | bounds), path)
    model = read_model(path)
    assert "general" not in [step.kind for step in lower(model).steps[1:]]
    values = {"x": np.random.default_rng(4).normal(size=(1, 4, 6, 10)).astype(np.float32)}
    found = deploy.predict_all(model, values, deploy.RunSettings(None, threads=2), check=True)
    np.testing.assert_allclose(found["y"], runtime_outputs(path, values)["y"], rtol=1e-5, atol=1e-6)
