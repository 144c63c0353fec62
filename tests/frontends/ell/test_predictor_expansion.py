"""Predictor nodes written out as layer nodes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.archive import read_archive, write_archive
from ellopt.frontends.ell.expand import expand_predictors
from ellopt.frontends.ell.format import archive_of
from ellopt.frontends.ell.metadata import with_options
from ellopt.frontends.ell.read import read_model
from ellopt.model import reference
from tests.support import ell_archives as build

Json = dict[str, Any]


def test_the_expanded_model_has_the_form_that_ell_writes(shared_models: Path) -> None:
    archive = read_archive(shared_models / "dk64.ell")
    before = copy.deepcopy(archive.data)
    expanded = expand_predictors(archive)
    assert archive.data == before
    nodes = expanded.nodes
    assert [n["id"] for n in nodes] == ["1006", *map(str, range(1009, 1036)), "1008"]
    assert nodes[-1]["input"]["input"] == "1035.output"
    layers = archive.nodes[1]["predictor"]["layers"]
    assert [n["layer"] for n in nodes[1:-1]] == layers
    like = read_archive(shared_models / "cnn64.ell")
    example = next(n for n in like.nodes if n["_type"] == "ConvolutionalLayerNode<float>")
    convolution = next(n for n in nodes if n["_type"] == "ConvolutionalLayerNode<float>")
    assert list(convolution) == [key for key in example if key != "metadata"]
    assert list(convolution["layer"]) == list(example["layer"])
    assert list(convolution["input"].items()) == [
        ("_type", "InputPort<float>"),
        ("_version", "0"),
        ("nodeId", "1010"),
        ("name", "input"),
        ("type", 1),
        ("input", "1009.output"),
    ]
    assert list(convolution["inputLayout"]) == list(example["inputLayout"])
    assert convolution["_version"] == "5"
    assert convolution["inputShape"] == [66, 66, 3]
    assert convolution["inputLayout"]["offset"] == [1, 1, 0]


def test_options_attach_and_the_written_model_computes_the_same(shared_models: Path, tmp_path: Path) -> None:
    model = read_model(shared_models / "dk64.ell")
    assert len(model.convolutions) == 4
    options = {c.node_id: {"preferredConvolutionMethod": "simple"} for c in model.convolutions}
    write_archive(with_options(archive_of(model), options, {}), tmp_path / "dk64_options.ell")
    again = read_model(tmp_path / "dk64_options.ell")
    assert {o.method for o in again.options.values()} == {"simple"}
    assert expand_predictors(archive_of(again)) is archive_of(again)
    expected = np.load(shared_models / "dk64.expected.npy").reshape(-1)
    values = reference.predict(again, np.load(shared_models / "dk64.input.npy"))
    np.testing.assert_allclose(values, expected, rtol=1e-4)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("scale", [1, 0.5])
def test_the_input_layer_pads_and_scales(write_model: Callable[[Any], Path], scale: float, padding: int) -> None:
    data = build.predictor_map(scale, padding, scheme=1)
    model = read_model(write_model(data))
    kinds = [n["_type"].partition("<")[0] for n in archive_of(model).nodes]
    first = {(1, 0): [], (1, 1): ["ReorderDataCodeNode"]}.get((scale, padding), ["ScalingLayerNode"])
    layers = ["ConvolutionalLayerNode", "BiasLayerNode", "SoftmaxLayerNode"]
    assert kinds == ["InputNode", *first, *layers, "OutputNode"]
    assert archive_of(model).nodes[1]["_version"] == ("0" if first == ["ReorderDataCodeNode"] else "5")

    x = np.random.default_rng(2).normal(size=(4, 4, 2)).astype(np.float32)
    wide = np.full((4 + 2 * padding, 4 + 2 * padding, 2), -1.0)
    wide[padding : padding + 4, padding : padding + 4] = x * scale
    weights = model.convolutions[0].weights
    size = 2 + 2 * padding
    z = np.zeros((size, size, 3))
    for r, c, f in np.ndindex(*z.shape):
        z[r, c, f] = (wide[r : r + 3, c : c + 3] * weights[f]).sum() + 0.1 * (f + 1)
    np.testing.assert_allclose(reference.predict(model, x), (np.exp(z) / np.exp(z).sum()).reshape(-1), rtol=1e-5)


def test_a_map_that_names_the_predictor_as_its_output_is_rewired(write_model: Callable[[Any], Path]) -> None:
    data = build.predictor_map()
    data["model"]["nodes"].pop()
    data["outputElements"] = ["2.output"]
    model = read_model(write_model(data))
    assert archive_of(model).data["outputElements"] == ["5.output"]
    assert model.output.inputs == ("5",)


def test_what_is_wrong_inside_names_the_predictor(write_model: Callable[[Any], Path]) -> None:
    data = build.predictor_map()
    data["model"]["nodes"][1]["predictor"]["layers"][1]["bias"].pop()
    with pytest.raises(ModelFormatError, match=r"BiasLayerNode<float>, step 2 of 3 in node 2.*bias has 2 values"):
        read_model(write_model(data))


def test_unknown_layers_inside_are_refused(write_model: Callable[[Any], Path]) -> None:
    data = build.predictor_map()
    data["model"]["nodes"][1]["predictor"]["layers"][2]["_type"] = "GRULayer<float>"
    with pytest.raises(ModelFormatError, match=r"node 2 .*layer 3 is a GRULayer"):
        read_model(write_model(data))


def test_a_predictor_without_layers_is_refused(write_model: Callable[[Any], Path]) -> None:
    data = build.predictor_map()
    data["model"]["nodes"][1]["predictor"]["layers"] = []
    with pytest.raises(ModelFormatError, match="no layers"):
        read_model(write_model(data))
