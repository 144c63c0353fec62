"""Whole models: read, computed by the reference and by generated code, and written with options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends import base as frontends
from ellopt.frontends.base import read_model
from ellopt.model import reference
from tests.support.onnx_models import convolution_model, runtime_outputs, save, with_external_weights
from tests.support.paths import DATA

FACE = DATA / "onnx" / "mp_face_detection_short_range.onnx"
#: Shapes of those that leave them open or say them wrongly.
SHAPES = {"ppocrv2_cls": {"x": (1, 3, 48, 192)}, "centerface": {"input.1": (1, 3, 256, 320)}}
NAMES = (
    *("rw_squeezenet", "tv_mobilenet_v1_025", "efficientnet_lite0", "tv_mobilenet_v3_small", "rw_shufflenet"),
    *("ppocrv2_cls", "mp_face_detection_short_range", "centerface", "mp_selfie_segmentation", "basic_pitch"),
)


def recorded(path: Path, kind: str) -> dict[str, np.ndarray]:
    with np.load(path.with_suffix(".npz")) as arrays:
        return {name[len(kind) + 1 :]: arrays[name] for name in arrays.files if name.startswith(f"{kind}:")}


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_computes_what_onnxruntime_did(name: str, shared_onnx: Path) -> None:
    path = shared_onnx / f"{name}.onnx"
    model = read_model(path, SHAPES.get(name))
    inputs, outputs = recorded(path, "in"), recorded(path, "out")
    values = np.concatenate([inputs[port.name].reshape(-1) for port in model.inputs])
    found = reference.predict(model, values)
    for port in model.outputs:
        wanted = outputs[port.name]
        part = found[port.offset : port.offset + port.elements].reshape(wanted.shape)
        # The last sigmoid of one of them makes much of roundings that are not the reference's.
        assert np.abs(part - wanted).max() <= 2e-4 * np.abs(wanted).max()


def test_what_is_written_is_the_same_file_with_the_chosen_options(tmp_path: Path) -> None:
    model = read_model(FACE)
    plan = Plan.of(
        {
            node.node_id: ConvolutionOptions("simple" if k % 2 else "unrolled", parallelize=not k % 3)
            for k, node in enumerate(model.convolutions)
        }
    )
    written = tmp_path / "face_options.onnx"
    frontends.write_model(model, written, plan, {}, {})
    assert read_model(written).options == plan
    inputs = recorded(FACE, "in")
    for name, values in runtime_outputs(written, inputs).items():
        np.testing.assert_array_equal(values, runtime_outputs(FACE, inputs)[name])
    changed, original = onnx.load(written), onnx.load(FACE)
    for node in changed.graph.node:
        del node.metadata_props[:]
    assert changed == original


def test_options_replace_those_that_were_there_and_weights_come_along(tmp_path: Path) -> None:
    model = convolution_model()
    model.graph.node[0].metadata_props.add(key="somebody", value="else's")
    raw = model.graph.initializer[0].raw_data
    (tmp_path / "a" / "data").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    path = with_external_weights(model, tmp_path / "a" / "m.onnx", "data/w.bin")
    (tmp_path / "a" / "data" / "w.bin").write_bytes(raw)
    read, written = read_model(path), tmp_path / "b" / "m_options.onnx"
    for method in ("simple", "winograd"):
        plan = Plan.of({"0": ConvolutionOptions(method)})
        frontends.write_model(read, written, plan, {}, {})
        again = read_model(written)
        assert again.options == plan
        read = again
    [entry, own] = onnx.load(written, load_external_data=False).graph.node[0].metadata_props
    assert [entry.key, entry.value, own.key] == ["somebody", "else's", "ellopt.convolution"]
    x = np.ones((1, 3, 8, 8), np.float32)
    np.testing.assert_array_equal(runtime_outputs(written, {"x": x})["y"], runtime_outputs(path, {"x": x})["y"])


def test_options_that_cannot_be_read_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = convolution_model()
    model.graph.node[0].metadata_props.add(key="ellopt.convolution", value="by magic\x1b[2J")
    found = read_model(save(model, tmp_path / "m.onnx"))
    assert not list(found.options)
    assert "passed over" in caplog.text
    assert "\x1b" not in caplog.text


def test_shuffles_of_channels_move_values_once_and_transpositions_never(tmp_path: Path) -> None:
    from tests.support.onnx_models import make_model

    weights = np.ones((8, 8, 1, 1), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Reshape", ["a", "split"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["c", "joined"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["e"]),
        helper.make_node("Transpose", ["e"], ["f"], perm=[0, 2, 3, 1]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("Transpose", ["g"], ["h"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["h", "w"], ["y"]),
    ]
    constants = {"w": weights, "split": np.array([1, 2, 4, 6, 5]), "joined": np.array([1, 8, 6, 5])}
    model = read_model(save(make_model(nodes, {"x": (1, 8, 6, 5)}, ["y"], constants), tmp_path / "m.onnx"))
    moves = [node for node in model.nodes if type(node).__name__ == "Remap"]
    assert len(moves) == 3  # into channels-last, the shuffle, and out of it
