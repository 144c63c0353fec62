"""How far the places of extremes are off: by the values that they point at."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.model.check_data import OUTPUT_LIMIT
from ellopt.model.graph import Model
from ellopt.model.wanted import Wanted
from tests.support.onnx_models import make_model, save

SIZE = (1, 5, 4, 3)


def searching(path: Path, kind: str, axis: int, last: int) -> Model:
    """Two outputs: places in x along an axis, their axes turned, and x plus one."""
    constants = {"one": np.ones((1, 1, 1, 1), np.float32)}
    nodes: list[Any] = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node(kind, ["same"], ["places"], axis=axis, select_last_index=last),
        helper.make_node("Cast", ["places"], ["floats"], to=1),
        helper.make_node("Transpose", ["floats"], ["turned"], perm=[3, 1, 0, 2]),
        helper.make_node("Add", ["x", "one"], ["more"]),
    ]
    return read_model(save(make_model(nodes, {"x": SIZE}, ["more", "turned"], constants), path))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_place_counts_by_the_value_it_points_at(tmp_path: Path, data: st.DataObject) -> None:
    kind, axis = data.draw(st.sampled_from(("ArgMax", "ArgMin"))), data.draw(st.integers(0, 3))
    model = searching(tmp_path / "model.onnx", kind, axis, data.draw(st.integers(0, 1)))
    wanted = Wanted.of(model, 2)
    assert wanted.error(wanted.outputs) == 0
    more, turned = model.output_ports
    found = wanted.outputs.copy()
    which, number = data.draw(st.integers(0, 1)), data.draw(st.integers(0, turned.elements - 1))
    x = wanted.outputs[which, : more.elements].reshape(SIZE) - 1
    column, channel, _, row = np.unravel_index(number, turned.shape)
    at = [0, int(channel), int(row), int(column)]
    place = data.draw(st.integers(0, SIZE[axis] - 1))
    best = int(wanted.outputs[which, turned.offset + number])
    found[which, turned.offset + number] = place
    values = [x[(*at[:axis], k, *at[axis + 1 :])] for k in (place, best)]
    assert wanted.error(found) == pytest.approx(abs(values[0] - values[1]) / np.abs(x).max(), abs=1e-6)
    for nowhere in (-1, SIZE[axis], 0.5, math.nan, math.inf):
        found[which, turned.offset + number] = nowhere
        assert wanted.error(found) == math.inf


def test_near_ties_are_no_errors_of_a_variant(tmp_path: Path) -> None:
    """Filters in pairs that are equal but for the last bits: which of two is larger is rounding's affair."""
    random = np.random.default_rng(0)
    half = random.normal(size=(8, 16, 3, 3)).astype(np.float32)
    weights = np.concatenate([half, half * np.float32(1 + 1e-6)])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("ArgMax", ["c"], ["y"], axis=1),
    ]
    model = make_model(nodes, {"x": (1, 16, 12, 12)}, [], {"w": weights})
    model.graph.output.add().CopyFrom(helper.make_tensor_value_info("y", 7, None))
    found = read_model(save(model, tmp_path / "model.onnx"))
    plan = Plan.uniform([n.node_id for n in found.convolutions], ConvolutionOptions("winograd", winograd_tile_size=6))
    wanted = Wanted.of(found, 1)
    values = {"x": wanted.inputs[0].reshape(1, 16, 12, 12)}
    [places] = deploy.predict_all(found, values, deploy.RunSettings(plan, threads=1), check=True).values()
    assert (places.reshape(-1) != wanted.outputs[0]).any(), "nothing flips: the model is too easy"
    assert wanted.error(np.asarray(places, np.float64).reshape(1, -1)) < OUTPUT_LIMIT
