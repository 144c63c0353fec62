"""ONNX files that are read: what counts as weights, names, shapes, versions; and errors of those that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ellopt.core.errors import ConfigurationError, ModelFormatError
from ellopt.frontends.base import read_model
from ellopt.frontends.input_shapes import parse_shapes
from ellopt.model import reference
from tests.support.onnx_models import convolution_model, make_model, runtime_outputs, save, with_external_weights

X = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)


def weights_in_a_constant(model: Any) -> None:
    tensor = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))


def weights_through_identity(model: Any) -> None:
    model.graph.initializer[0].name = "shared"
    model.graph.node.insert(0, helper.make_node("Identity", ["shared"], ["w"]))


def weights_among_the_inputs(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3]))


def weights_that_are_computed(model: Any) -> None:
    model.graph.initializer[0].name = "flat"
    model.graph.initializer.append(numpy_helper.from_array(np.array([4, 3, 3, 3]), "shape"))
    model.graph.node.insert(0, helper.make_node("Reshape", ["flat", "shape"], ["w"]))


def names_of_any_kind(model: Any) -> None:
    for node in model.graph.node:
        node.name = 'a/b:0 "; rm -rf ~ *//\n\u202e'
    model.graph.node[1].output[0] = model.graph.output[0].name = "*/ out:0\u2603"


def nodes_in_another_order(model: Any) -> None:
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))


@pytest.mark.parametrize(
    "change",
    [
        weights_in_a_constant,
        weights_through_identity,
        weights_among_the_inputs,
        weights_that_are_computed,
        names_of_any_kind,
        nodes_in_another_order,
    ],
)
def test_weights_and_names_may_be_anywhere_and_anything(change: Callable[[Any], None], tmp_path: Path) -> None:
    plain = save(convolution_model(), tmp_path / "plain.onnx")
    wanted = runtime_outputs(plain, {"x": X})["y"]
    changed = convolution_model()
    change(changed)
    model = read_model(save(changed, tmp_path / "changed.onnx"))
    assert [len(model.convolutions), model.outputs[0].shape] == [1, (1, 4, 8, 8)]
    found = reference.predict(model, X.reshape(-1)).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_weights_in_a_file_beside_the_model_are_read_and_count_for_what_it_is(tmp_path: Path) -> None:
    model = convolution_model()
    stored = numpy_helper.to_array(model.graph.initializer[0])
    path = with_external_weights(model, tmp_path / "m.onnx", "weights.bin", offset=64)
    (tmp_path / "weights.bin").write_bytes(bytes(64) + stored.tobytes())
    found = read_model(path)
    np.testing.assert_array_equal(found.convolutions[0].weights, stored.transpose(0, 2, 3, 1))
    (tmp_path / "weights.bin").write_bytes(bytes(64) + (2 * stored).tobytes())
    assert read_model(path).source.sha256 != found.source.sha256


def test_a_shape_that_is_open_or_wrong_is_given(tmp_path: Path) -> None:
    path = save(convolution_model((1, 3, "height", "width")), tmp_path / "open.onnx")
    with pytest.raises(ModelFormatError, match=r"the input x has the shape 1,3,height,width, .*--input_shape 'x=1,3,"):
        read_model(path)
    assert read_model(path, {"x": (1, 3, 10, 12)}).outputs[0].shape == (1, 4, 10, 12)
    wrong = save(convolution_model((10, 3, 32, 32)), tmp_path / "wrong.onnx")
    with pytest.raises(ModelFormatError, match="a batch of 10 is not supported"):
        read_model(wrong)
    assert read_model(wrong, {"x": (1, 3, 16, 16)}).outputs[0].shape == (1, 4, 16, 16)
    with pytest.raises(ModelFormatError, match="there is no input z; there are: x"):
        read_model(wrong, {"z": (1, 3, 16, 16)})


def test_shapes_are_given_by_name(tmp_path: Path) -> None:
    assert parse_shapes(("a=b=1,3,4", "x/0:0=2x2")) == {"a=b": (1, 3, 4), "x/0:0": (2, 2)}
    for text in ("x", "x=", "=1,2", "x=1,-2", "x=1,0", "x=1,,2", "x=1,a", "x=99999999"):
        with pytest.raises(ConfigurationError, match="--input_shape"):
            parse_shapes((text,))


def test_all_that_is_not_supported_is_said_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Det", ["x"], ["b"], name="second"),
        helper.make_node("Fancy", ["x"], ["c"], domain="com.example"),
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["d"]),
        helper.make_node("Conv", ["x", "v"], ["e"]),
        helper.make_node("Relu", ["a"], ["f"]),
    ]
    constants = {"s": np.ones((), np.float32), "z": np.zeros((), np.uint8)}
    inputs = {"x": (1, 3, 8, 8), "v": (4, 3, 3, 3)}
    path = save(make_model(nodes, inputs, list("fbcde"), constants), tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError) as caught:
        read_model(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "the operator Det is not supported" in text
    assert "(2 nodes: node 0 first (Det), node 1 second (Det))" in text
    assert "the operator com.example.Fancy is not supported: it is not one of ONNX's own" in text
    assert "QuantizeLinear is not supported: quantised models are not" in text


@pytest.mark.parametrize(
    ("kind", "domain", "advice"),
    [
        ("ConvInteger", "", "quantised models are not; export the model in float32"),
        ("QLinearConv", "", "quantised models are not; export the model in float32"),
        ("QLinearAdd", "com.microsoft", "quantised models are not; export the model in float32"),
        ("LSTM", "", "recurrent networks are not; cut the model before it (onnx.utils.extract_model)"),
        ("Loop", "", "control flow is not; export the model traced, for one input size"),
        ("NonMaxSuppression", "", "export the model without it and choose in your program, or cut the model before it"),
        ("TopK", "", "export the model without it and choose in your program, or cut the model before it"),
        ("EfficientNMS_TRT", "TRT", "export the model without it and choose in your program"),
        ("Fancy", "com.example", "it is not one of ONNX's own; export the model with standard operators only"),
        ("Einsum", "", "export the model without it, or cut the model before it (onnx.utils.extract_model)"),
    ],
)
def test_a_refusal_names_nodes_and_says_what_could_be_done(kind: str, domain: str, advice: str, tmp_path: Path) -> None:
    nodes = [helper.make_node(kind, ["x"], [f"y{k}"], name=f"n{k}", domain=domain) for k in range(5)]
    path = save(make_model(nodes, {"x": (1, 3, 8, 8)}, [f"y{k}" for k in range(5)]), tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError) as caught:
        read_model(path)
    name = f"{domain}.{kind}" if domain else kind
    assert str(caught.value).startswith(f"{path}: cannot be tuned: the operator {name} is not supported")
    assert advice in str(caught.value)
    assert f"(5 nodes: node 0 n0 ({kind}), node 1 n1 ({kind}), node 2 n2 ({kind}) and 2 more)" in str(caught.value)


def truncated(path: Path) -> None:
    path.write_bytes(convolution_model().SerializeToString()[:200])


def no_model(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n" + bytes(range(256)))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong_dimension(path: Path) -> None:
    model = convolution_model()
    model.graph.initializer[0].dims[1] = 5
    save(model, path)


def other_channels(path: Path) -> None:
    save(convolution_model((1, 5, 8, 8)), path)


def cyclic(path: Path) -> None:
    model = convolution_model()
    model.graph.node[0].input[0] = "y"
    save(model, path)


def without_origin(path: Path) -> None:
    model = convolution_model()
    model.graph.node[0].input[0] = "nowhere"
    save(model, path)


def made_twice(path: Path) -> None:
    model = convolution_model()
    model.graph.node.append(helper.make_node("Relu", ["x"], ["c"]))
    save(model, path)


def external_missing(path: Path) -> None:
    with_external_weights(convolution_model(), path, "gone.bin")


def external_outside(path: Path) -> None:
    (path.parent.parent / "weights.bin").write_bytes(bytes(4096))
    with_external_weights(convolution_model(), path, "../weights.bin")


def external_absolute(path: Path) -> None:
    (path.parent.parent / "weights.bin").write_bytes(bytes(4096))
    with_external_weights(convolution_model(), path, str(path.parent.parent / "weights.bin"))


def external_by_a_link(path: Path) -> None:
    (path.parent.parent / "weights.bin").write_bytes(bytes(4096))
    (path.parent / "link.bin").symlink_to(path.parent.parent / "weights.bin")
    with_external_weights(convolution_model(), path, "link.bin")


def external_short(path: Path) -> None:
    (path.parent / "short.bin").write_bytes(bytes(100))
    with_external_weights(convolution_model(), path, "short.bin")


def nan_weights(path: Path) -> None:
    model = convolution_model()
    values = np.array(numpy_helper.to_array(model.graph.initializer[0]))
    values[1, 2, 0, 1] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    save(model, path)


def nan_constant(path: Path) -> None:
    model = convolution_model()
    values = numpy_helper.from_array(np.full((4, 3, 3, 3), np.nan, np.float32))
    model.graph.ClearField("initializer")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=values))
    save(model, path)


def negative_variance(path: Path) -> None:
    numbers = {name: np.full(3, value, np.float32) for name, value in zip("sbmv", (1, 0, 0, -1), strict=True)}
    node = helper.make_node("BatchNormalization", ["x", *numbers], ["y"])
    save(make_model([node], {"x": (1, 3, 8, 8)}, ["y"], numbers), path)


def too_small(path: Path) -> None:
    model = convolution_model((1, 3, 2, 2))
    model.graph.node[0].ClearField("attribute")
    save(model, path)


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n")


def with_a_function(path: Path) -> None:
    model = convolution_model()
    model.graph.node[1].op_type, model.graph.node[1].domain = "Act", "local"
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("local", "Act", ["a"], ["b"], body, opsets))
    save(model, path)


def too_old(path: Path) -> None:
    model = convolution_model()
    model.opset_import[0].version = 6
    save(model, path)


def too_new(path: Path) -> None:
    model = convolution_model()
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    save(model, path)


def of_integers(path: Path) -> None:
    model = convolution_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    save(model, path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, "truncated or damaged"),
        (no_model, "no ONNX model"),
        (empty, "the file is empty"),
        (wrong_dimension, "the tensor w of shape [4, 5, 3, 3] is damaged"),
        (other_channels, "node 0 first (Conv)"),
        (cyclic, "the graph has a cycle"),
        (without_origin, "node 0 first (Conv): reads nowhere, which nothing makes"),
        (made_twice, "makes c, which is there already"),
        (external_missing, "gone.bin beside it, which cannot be read"),
        (external_outside, "outside the model's folder"),
        (external_absolute, "outside the model's folder"),
        (external_by_a_link, "outside the model's folder"),
        (external_short, "the file is truncated or another model's"),
        (nan_weights, "the tensor w holds NaN"),
        (nan_constant, "the tensor w holds NaN"),
        (negative_variance, "node 0 (BatchNormalization)"),
        (too_small, "tensors without elements are not supported; here the shape is [1, 4, 0, 0]"),
        (pointer, "is Git LFS's pointer to a model; 'git lfs pull' fetches it"),
        (with_a_function, "put its nodes in its place (onnx.inliner.inline_local_functions)"),
        (too_old, "its operators are of version 6; 7 and later are read"),
        (too_new, "install a newer onnx"),
        (of_integers, "the input x has elements of type INT64; only FLOAT and whole numbers of 8 and 16 bits"),
    ],
)
def test_a_bad_file_gets_one_clear_error(damage: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "bad.onnx"
    path.parent.mkdir()
    damage(path)
    with pytest.raises(ModelFormatError) as caught:
        read_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
