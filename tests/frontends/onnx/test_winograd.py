"""Winograd on ONNX models: windows of 3x3, 1x3 and 3x1 under every padding, also on images smaller than a tile."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.space.space import SearchSpace, find_options_file, narrow
from ellopt.targets import TARGETS
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.onnx_models import make_model, runtime_outputs, save

TILES = (2, 3, 4, 5, 6)
WINDOWS = ((3, 3), (1, 3), (3, 1))


@st.composite
def pads(draw: st.DrawFn, size: tuple[int, int], window: tuple[int, int]) -> list[int]:
    """Above, to the left, below, to the right; at least as much as a window needs."""
    found = []
    for length, reach in zip(size, window, strict=True):
        before = draw(st.integers(0, 4))
        behind = draw(st.integers(0, 4))
        found.append((before, behind + max(0, reach - length - before - behind)))
    (top, bottom), (left, right) = found
    return [top, left, bottom, right]


@settings(max_examples=2, deadline=None)
@given(data=st.data())
def test_every_padding(data: st.DataObject, tmp_path_factory: Any) -> None:
    random, folder = np.random.default_rng(data.draw(st.integers(0, 99))), tmp_path_factory.mktemp("model")
    nodes: list[Any] = []
    inputs: dict[str, tuple[int, ...]] = {}
    constants: dict[str, np.ndarray] = {}
    for k, (window, depthwise) in enumerate(product(WINDOWS, (False, True))):
        size = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 9), (7, 2), (9, 11)]))
        channels = data.draw(st.integers(1, 9))
        filters = channels if depthwise else data.draw(st.integers(1, 9))
        shape = (filters, 1 if depthwise else channels, *window)
        inputs[f"x{k}"] = (1, channels, *size)
        constants[f"w{k}"] = random.normal(size=shape).astype(np.float32)
        fields = {"group": channels if depthwise else 1, "pads": data.draw(pads(size, window))}
        nodes.append(helper.make_node("Conv", [f"x{k}", f"w{k}"], [f"y{k}"], **fields))
    path = save(make_model(nodes, inputs, [f"y{k}" for k in range(len(nodes))], constants), folder / "model.onnx")
    model = read_model(path)
    toolchain = NativeToolchain()
    space = narrow(SearchSpace.load(find_options_file("default")), toolchain.layers(model), toolchain, TARGETS["host"])
    for layer in space.layers:
        alone = layer.shape.depthwise and layer.shape.channels == 1
        assert alone or any(options.method == "winograd" for options in layer.variants), layer.shape
    tiles = [data.draw(st.sampled_from(TILES)) for _ in model.convolutions]
    plan = Plan.of(
        {
            node.node_id: ConvolutionOptions("winograd", winograd_tile_size=tile)
            for node, tile in zip(model.convolutions, tiles, strict=True)
        }
    )
    values = {name: random.normal(size=shape).astype(np.float32) for name, shape in inputs.items()}
    wanted = runtime_outputs(path, values)
    found = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=2), check=True)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-4 * np.abs(array).max(), err_msg=name)
