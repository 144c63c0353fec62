"""Models that cannot be used: one clear error, naming the file, the node and its type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.base import require_convolutions
from ellopt.frontends.ell.read import read_model
from ellopt.model import layers, reference
from tests.support import ell_archives as build
from tests.support.paths import DATA

Json = dict[str, Any]
Write = Callable[[Any], Path]


def node(data: Json, node_id: str) -> Json:
    return next(n for n in data["model"]["nodes"] if n["id"] == node_id)


def remove_field(node_id: str, *path: str) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        owner = node(data, node_id)
        for key in path[:-1]:
            owner = owner[key]
        del owner[path[-1]]

    return change


def set_field(node_id: str, value: Any, *path: str) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        owner = node(data, node_id)
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = value

    return change


def weight(value: Any) -> Callable[[Json], None]:
    def change(data: Json) -> None:
        node(data, "1034")["layer"]["weights_values"][5] = value

    return change


def top(key: str, value: Any) -> Callable[[Json], None]:
    return lambda data: data.__setitem__(key, value)


def drop_weight(data: Json) -> None:
    node(data, "1034")["layer"]["weights_values"].pop()


def duplicate_id(data: Json) -> None:
    node(data, "1036")["id"] = "1035"


CONVOLUTION = "node 1034 (ConvolutionalLayerNode<float>)"


@pytest.mark.parametrize(
    ("change", "names", "says"),
    [
        (remove_field("1034", "input"), CONVOLUTION, "the input port input is missing"),
        (remove_field("1034", "input", "input"), CONVOLUTION, "the field input is missing"),
        (set_field("1034", "9999.output", "input", "input"), CONVOLUTION, "node 9999, which does not exist"),
        (set_field("1034", "what", "input", "input"), CONVOLUTION, "cannot read the port reference"),
        (
            set_field("1034", "1033.output[0:16]", "input", "input"),
            CONVOLUTION,
            "node 1034.input.0 writes 16",
        ),
        (set_field("1034", "1033.output[9:973]", "input", "input"), CONVOLUTION, "elements 9 to 973 of node 1033"),
        (set_field("1034", "1033.other", "input", "input"), CONVOLUTION, "another port"),
        (set_field("1033", "1036.output", "input", "input"), "node 1033", "cycle"),
        (set_field("1034", "1034.output", "input", "input"), CONVOLUTION, "cycle"),
        (drop_weight, CONVOLUTION, "weights_values has 107 values, its shape needs 108"),
        (set_field("1035", [1.0], "layer", "bias"), "node 1035 (BiasLayerNode<float>)", "bias has 1 values"),
        (set_field("1034", 13, "layer", "weights_rows"), CONVOLUTION, "do not make 4 filters"),
        (set_field("1034", 2, "layer", "weights_channels"), CONVOLUTION, "2 channels"),
        (set_field("1044", 63, "layer", "weights_columns"), "FullyConnectedLayerNode", "do not connect 4x4x4"),
        (weight(1e39), CONVOLUTION, "NaN, infinite or too large"),
        (weight("x"), CONVOLUTION, "weights_values must be a list of numbers"),
        (weight(None), CONVOLUTION, "weights_values must be a list of numbers"),
        (weight([1.0]), CONVOLUTION, "weights_values must be a list of numbers"),
        (set_field("1034", "GRULayerNode<float>", "_type"), "node 1034 (GRULayerNode<float>)", "not supported"),
        (set_field("1034", "SimpleConvolutionNode<float>", "_type"), "SimpleConvolutionNode", "already been decided"),
        (set_field("1034", "WinogradConvolutionNode<float>", "_type"), "WinogradConvolution", "already been decided"),
        (set_field("1034", "UnrolledConvolutionNode<float>", "_type"), "UnrolledConvolution", "already been decided"),
        (set_field("1034", "BinaryConvolutionalLayerNode<float>", "_type"), "BinaryConv", "binary convolutions"),
        (set_field("1034", "ConvolutionalLayerNode<int>", "_type"), "node 1034", "type int"),
        (set_field("1034", 3, "_type"), "node '1034'", "_type"),
        (remove_field("1034", "id"), "ConvolutionalLayerNode<float>", "has no id"),
        (duplicate_id, "node 1035", "another node has the same id"),
        (set_field("1034", 0, "layer", "stride"), CONVOLUTION, "stride must be an integer from 1 to 32768"),
        (set_field("1034", 1.5, "layer", "stride"), CONVOLUTION, "stride must be an integer"),
        (set_field("1034", True, "layer", "stride"), CONVOLUTION, "stride must be an integer"),
        (set_field("1034", 2, "layer", "inputPaddingSize"), CONVOLUTION, "border of [1, 1]"),
        (set_field("1034", [1, 1, 1], "layer", "outputShape"), CONVOLUTION, "outputShape"),
        (set_field("1034", [16, 16, 30], "outputLayout", "size"), CONVOLUTION, "exceeds the extent"),
        (set_field("1034", [0, 16, 4], "outputLayout", "size"), CONVOLUTION, "empty"),
        (set_field("1034", [0, 0, 1], "outputLayout", "order"), CONVOLUTION, "permutation"),
        (set_field("1034", [1, 1], "outputLayout", "offset"), CONVOLUTION, "differ in length"),
        (set_field("1034", [128, 8, 2], "outputLayout", "increment"), CONVOLUTION, "strided"),
        (set_field("1037", 2, "layer", "outputPaddingScheme"), "node 1037", "outputPaddingScheme 2"),
        (set_field("1037", 3, "layer", "outputPaddingScheme"), "node 1037", "outputPaddingScheme 3"),
        (set_field("1036", "SwishActivation<float>", "layer", "activation", "_type"), "node 1036", "SwishActivation"),
        (set_field("1037", "PoolingLayerNode<float,SumFunction>", "_type"), "node 1037", "SumFunction"),
        (set_field("1034", 7, "metadata"), CONVOLUTION, "metadata must be an object"),
        (top("outputElements", []), "m.ell", "at least one"),
        (top("outputElements", ["77.output"]), "m.ell", "77, which does not exist"),
        (top("outputElements", ["1046.output"]), "m.ell", "more outputs than the map names"),
        (top("outputElements", ["1047.output[0:99]"]), "m.ell", "elements 0 to 99 of node 1047"),
        (top("inputIds", ["5"]), "m.ell", "inputIds"),
    ],
)
def test_bad_models_are_refused(
    tiny: Json, write_model: Write, change: Callable[[Json], None], names: str, says: str
) -> None:
    change(tiny)
    path = write_model(tiny)
    with pytest.raises(ModelFormatError) as raised:
        read_model(path)
    message = str(raised.value)
    assert str(path) in message
    assert names in message
    assert says in message
    assert "\n" not in message


def test_a_convolution_must_not_read_beyond_its_input(write_model: Write) -> None:
    read, written = build.layout((4, 4, 1)), build.layout((4, 4, 1))
    fields = build.convolution_fields(np.ones((1, 3, 3, 1)))
    nodes = [
        build.input_node("1", (4, 4, 1)),
        build.layer_node("Convolutional", "2", "1", read, written, fields),
        build.output_node("3", "2", written),
    ]
    with pytest.raises(ModelFormatError, match=r"node 2 .* reads beyond its input"):
        read_model(write_model(build.map_of(nodes)))


def test_a_model_without_convolutions_is_refused_only_where_one_is_needed(write_model: Write) -> None:
    flat = build.layout((1, 1, 3))
    nodes = [
        build.input_node("1", (1, 1, 3)),
        build.layer_node("Softmax", "2", "1", flat, flat, {}),
        build.output_node("3", "2", flat),
    ]
    path = write_model(build.map_of(nodes))
    model = read_model(path)
    assert reference.predict(model, [0, 0, 0]) == pytest.approx(1 / 3)
    with pytest.raises(ModelFormatError, match="no convolution layers") as raised:
        require_convolutions(model)
    assert str(path) in str(raised.value)


def test_an_input_that_the_map_does_not_name_is_refused(tiny: Json, write_model: Write) -> None:
    extra = {**node(tiny, "1032"), "id": "2000"}
    tiny["model"]["nodes"].append(extra)
    with pytest.raises(ModelFormatError, match=r"inputIds .* not the input nodes 1032, 2000"):
        read_model(write_model(tiny))


def test_nodes_are_put_in_order_of_computation(tiny: Json, write_model: Write, tiny_path: Path) -> None:
    expected = [n.node_id for n in read_model(tiny_path).nodes]
    tiny["model"]["nodes"].reverse()
    assert [n.node_id for n in read_model(write_model(tiny)).nodes] == expected


def test_deep_models_do_not_exhaust_the_stack(write_model: Write) -> None:
    flat = build.layout((1, 1, 2))
    nodes = [build.input_node("0", (1, 1, 2))]
    nodes += [build.reorder_node(str(i), str(i - 1), flat, flat) for i in range(1, 3000)]
    nodes.append(build.output_node("end", "2999", flat))
    nodes[1:-1] = reversed(nodes[1:-1])
    assert len(read_model(write_model(build.map_of(nodes))).nodes) == 3001


def test_ranges_that_name_a_whole_output_are_read(tiny: Json, write_model: Write) -> None:
    node(tiny, "1045")["input"]["input"] = "1044.output[0:5]"
    node(tiny, "1046")["input"]["input"] = "{1045.output[0:2], 1045.output[2], 1045.output[3:5]}"
    model = read_model(write_model(tiny))
    assert model.by_id["1046"].inputs == ("1045",)


def test_a_map_may_name_any_nodes_output(tiny: Json, write_model: Write) -> None:
    tiny["model"]["nodes"].pop()
    tiny["outputElements"] = ["1046.output"]
    model = read_model(write_model(tiny))
    assert model.output.inputs == ("1046",)
    data = DATA
    values = reference.predict(model, np.load(data / "tiny16.input.npy"))
    np.testing.assert_allclose(values, np.load(data / "tiny16.expected.npy").reshape(-1), rtol=1e-4)


def test_models_of_doubles_are_read_and_computed_in_single_precision(tiny_path: Path, write_model: Write) -> None:
    text = tiny_path.read_text().replace("<float", "<double").replace('"type": 1,', '"type": 2,')
    model = read_model(write_model(text))
    assert model.convolutions[0].weights.dtype == np.float32
    data = DATA
    values = reference.predict(model, np.load(data / "tiny16.input.npy"))
    np.testing.assert_allclose(values, np.load(data / "tiny16.expected.npy").reshape(-1), rtol=1e-4)


def test_what_a_model_holds(tiny_path: Path) -> None:
    model = read_model(tiny_path)
    assert model.name == "tiny16"
    assert [c.node_id for c in model.convolutions] == ["1034", "1038", "1041"]
    assert len(model.options) == 0
    first = model.convolutions[0]
    assert (first.name, first.receptive_field, first.stride, first.depthwise) == ("conv_1", 3, 1, False)
    assert first.weights.shape == (4, 3, 3, 3)
    assert first.metadata["ancestor"] == "1002"
    assert not first.weights.flags.writeable
    pool = model.by_id["1037"]
    assert isinstance(pool, layers.Pooling)
    assert pool.output_layout.size == (8, 8, 4)
    assert pool.output_layout.extent == (10, 10, 4)
    assert pool.output_layout.offset == (1, 1, 0)


@pytest.mark.parametrize(
    ("scheme", "value"),
    [(0, 0.0), (1, -1.0), (4, float(np.finfo(np.float32).min)), (5, float(np.finfo(np.float32).max))],
)
def test_the_border_has_the_value_of_the_padding_scheme(
    tiny: Json, write_model: Write, scheme: int, value: float
) -> None:
    node(tiny, "1037")["layer"]["outputPaddingScheme"] = scheme
    assert read_model(write_model(tiny)).by_id["1037"].padding_value == value
