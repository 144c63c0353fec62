"""The NumPy meaning of the layers, against ELL's own outputs and against the definition written as plain loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt.frontends.ell.read import read_model
from ellopt.model import layers, reference
from tests.support import ell_archives as build

MODELS = [
    *(
        "cnn128bn",
        "cnn64",
        "dk64",
        "dw96",
        "dw96s2",
        "mobile128",
        "res64",
        "resnet64",
        "tiny16",
        "tutorial160",
        "vgg64",
    ),
    *(f"layers/{name}" for name in ("act_leaky", "act_prelu", "act_sigmoid", "averagepooling_311", "bin_plus")),
    *(f"layers/{name}" for name in ("conv_1x1_s2", "conv_5x5", "dw_3x3", "dw_3x3_s2", "maxpooling_321")),
]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.reshape(-1) - expected.reshape(-1)).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", MODELS)
def test_ells_recorded_outputs_are_reproduced(shared_models: Path, name: str) -> None:
    path = next(p for p in (shared_models / f"{name}.ell", shared_models / f"{name}.ell.zip") if p.exists())
    model = read_model(path)
    tensors = reference.run(model, np.load(shared_models / f"{name}.input.npy"))
    assert set(tensors) == {node.node_id for node in model.nodes}
    assert all(tensors[node.node_id].shape == node.output_layout.size for node in model.nodes)
    assert relative_error(tensors[model.output.node_id], np.load(shared_models / f"{name}.expected.npy")) < 1e-4
    logits = shared_models / f"{name}.logits.npy"
    if logits.exists():
        softmax = next(node for node in model.nodes if isinstance(node, layers.Softmax))
        assert relative_error(tensors[softmax.inputs[0]], np.load(logits)) < 1e-4


def test_an_input_of_another_shape_is_refused(tiny_path: Path) -> None:
    model = read_model(tiny_path)
    with pytest.raises(ValueError, match="wants"):
        reference.run(model, np.zeros((3, 16, 16), np.float32))
    with pytest.raises(ValueError, match="wants"):
        reference.run(model, np.zeros(5, np.float32))
    flat = reference.predict(model, np.ones(16 * 16 * 3, np.float32))
    np.testing.assert_array_equal(flat, reference.predict(model, np.ones((16, 16, 3), np.float32)))


ORDERS = [(0, 1, 2), (2, 0, 1)]
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(data=st.data())
def test_convolutions_agree_with_the_definition(data: st.DataObject, write_model: Callable[[Any], Path]) -> None:
    field, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    padding = data.draw(st.integers(0, 2))
    rows, columns = (data.draw(st.integers(max(1, field - 2 * padding), 7)) for _ in range(2))
    channels = data.draw(st.integers(1, 4))
    depthwise = data.draw(st.booleans()) and channels > 1
    filters = channels if depthwise else data.draw(st.integers(1, 4))
    out_padding, order = data.draw(st.integers(0, 2)), data.draw(st.sampled_from(ORDERS))
    border = data.draw(st.sampled_from([0.0, 0.5]))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weights = random.normal(size=(filters, field, field, 1 if depthwise else channels)).astype(np.float32)
    x = random.normal(size=(rows, columns, channels)).astype(np.float32)
    size = [(n + 2 * padding - field) // stride + 1 for n in (rows, columns)] + [filters]
    plain, padded = build.layout(x.shape), build.layout(x.shape, padding, order)
    written = build.layout(size, out_padding, data.draw(st.sampled_from(ORDERS)))
    nodes = [
        build.input_node("1", x.shape),
        build.reorder_node("2", "1", plain, padded, border),
        build.layer_node(
            "Convolutional",
            "3",
            "2",
            padded,
            written,
            build.convolution_fields(weights, stride),
            input_padding=padding,
            output_scheme=1,
        ),
        build.output_node("4", "3", written),
    ]
    model = read_model(write_model(build.map_of(nodes)))
    wide = np.full((rows + 2 * padding, columns + 2 * padding, channels), border, np.float64)
    wide[padding : padding + rows, padding : padding + columns] = x
    expected = np.zeros(size)
    for r, c, f in np.ndindex(*size):
        window = wide[r * stride : r * stride + field, c * stride : c * stride + field]
        part = window[:, :, f] * weights[f, :, :, 0] if depthwise else window * weights[f]
        expected[r, c, f] = part.sum()
    found = reference.run(model, x)["3"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@QUICK
@given(data=st.data())
def test_pooling_agrees_with_the_definition(data: st.DataObject, write_model: Callable[[Any], Path]) -> None:
    """Cells beyond the buffer count as 0 in a mean and take no part in a maximum."""
    pool, stride, padding = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)), data.draw(st.integers(0, 1))
    rows, columns, channels = (data.draw(st.integers(1, 6)) for _ in range(3))
    variant = data.draw(st.sampled_from(["MaxPoolingFunction", "MeanPoolingFunction"]))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = random.normal(size=(rows, columns, channels)).astype(np.float32)
    size = [math.ceil((n + 2 * padding) / stride) for n in (rows, columns)] + [channels]
    plain, padded, written = build.layout(x.shape), build.layout(x.shape, padding), build.layout(size)
    nodes = [
        build.input_node("1", x.shape),
        build.reorder_node("2", "1", plain, padded, -3.0),
        build.layer_node(
            "Pooling",
            "3",
            "2",
            padded,
            written,
            {"poolingSize": pool, "stride": stride},
            variant=variant,
            input_padding=padding,
        ),
        build.output_node("4", "3", written),
    ]
    model = read_model(write_model(build.map_of(nodes)))
    wide = np.full((rows + 2 * padding, columns + 2 * padding, channels), -3.0)
    wide[padding : padding + rows, padding : padding + columns] = x
    expected = np.zeros(size)
    for r, c, k in np.ndindex(*size):
        window = wide[r * stride : r * stride + pool, c * stride : c * stride + pool, k]
        expected[r, c, k] = window.max() if variant.startswith("Max") else window.sum() / pool**2
    np.testing.assert_allclose(reference.predict(model, x), expected.reshape(-1), rtol=1e-5, atol=1e-6)


X = np.array([[[-3.0, -0.5, 0.0], [0.25, 1.5, 40.0]]], np.float32)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (build.activation_fields("ReLU"), lambda x: max(x, 0)),
        (build.activation_fields("LeakyReLU", leakyFactor=0.25), lambda x: x if x > 0 else 0.25 * x),
        (build.activation_fields("Sigmoid"), lambda x: 1 / (1 + math.exp(-x))),
        (build.activation_fields("Tanh"), math.tanh),
        (build.activation_fields("HardSigmoid"), lambda x: min(max(0.2 * x + 0.5, 0), 1)),
        (build.activation_fields("HardTanh"), lambda x: min(max(x, -1), 1)),
    ],
)
def test_activations(write_model: Callable[[Any], Path], fields: Any, expected: Callable[[float], float]) -> None:
    model = read_model(write_model(one_layer("Activation", X.shape, fields)))
    wanted = [expected(float(x)) for x in X.reshape(-1)]
    np.testing.assert_allclose(reference.predict(model, X), wanted, rtol=1e-6)


def test_parametric_relu_has_a_slope_for_every_element(write_model: Callable[[Any], Path]) -> None:
    slopes = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    fields = build.activation_fields(
        "ParametricReLU", alpha_rows=1, alpha_columns=2, alpha_channels=3, alpha_values=slopes
    )
    model = read_model(write_model(one_layer("Activation", X.shape, fields)))
    wanted = [x if x > 0 else x * a for x, a in zip(X.reshape(-1), slopes, strict=True)]
    np.testing.assert_allclose(reference.predict(model, X), wanted, rtol=1e-6)


def one_layer(kind: str, size: tuple[int, ...], fields: Any) -> Any:
    plain = build.layout(size)
    nodes = [
        build.input_node("1", size),
        build.layer_node(kind, "2", "1", plain, plain, fields),
        build.output_node("3", "2", plain),
    ]
    return build.map_of(nodes)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("Bias", {"bias": [1, 2, 3.5]}, X + np.array([1, 2, 3.5])),
        ("Scaling", {"scales": [2, 0.5, -1]}, X * np.array([2, 0.5, -1])),
        (
            "BatchNormalization",
            {"multiplicationValues": [2, 3, 4], "additionValues": [1, -1, 0.5], "epsilon": 1e-6, "epsilonSummand": 1},
            X * np.array([2, 3, 4]) + np.array([1, -1, 0.5]),
        ),
        ("Softmax", {}, np.exp(X.astype(float)) / np.exp(X.astype(float)).sum()),
    ],
)
def test_layers_per_channel_and_softmax(
    write_model: Callable[[Any], Path], kind: str, fields: Any, expected: np.ndarray
) -> None:
    model = read_model(write_model(one_layer(kind, X.shape, fields)))
    np.testing.assert_allclose(reference.predict(model, X), expected.reshape(-1), rtol=1e-6)


def test_softmax_of_large_values_is_finite(write_model: Callable[[Any], Path]) -> None:
    model = read_model(write_model(one_layer("Softmax", (1, 1, 3), {})))
    np.testing.assert_allclose(reference.predict(model, [1e4, 1e4, -1e4]), [0.5, 0.5, 0])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("add", np.add),
        ("subtract", np.subtract),
        ("multiply", np.multiply),
        ("coordinatewiseMultiply", np.multiply),
        ("divide", np.divide),
        ("coordinatewiseDivide", np.divide),
    ],
)
def test_binary_operations_with_a_constant_in_another_layout(
    write_model: Callable[[Any], Path], name: str, function: Callable[[Any, Any], np.ndarray]
) -> None:
    values = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3)
    channel_major = build.layout((1, 2, 3), order=(2, 0, 1))
    padded = build.layout((1, 2, 3), padding=1)
    nodes = [
        build.input_node("1", X.shape),
        {
            "_type": "ConstantNode<float>",
            "_version": "8",
            "id": "2",
            "values": [float(v) for v in values.transpose(2, 0, 1).reshape(-1)],
            "layout": channel_major,
        },
        {
            "_type": "BinaryOperationNode<float>",
            "_version": "7",
            "id": "3",
            "input1": build.port("3", "1", "input1"),
            "input2": build.port("3", "2", "input2"),
            "inputLayout1": build.layout(X.shape),
            "inputLayout2": channel_major,
            "operation": name,
            "outputLayout": padded,
            "padding": 9,
        },
        build.reorder_node("4", "3", padded, build.layout((1, 2, 3))),
        build.output_node("5", "4", build.layout((1, 2, 3))),
    ]
    model = read_model(write_model(build.map_of(nodes)))
    assert model.by_id["3"].padding_value == 9
    assert model.by_id["2"].output_layout.size == (1, 2, 3)
    np.testing.assert_allclose(reference.predict(model, X), function(X, values).reshape(-1), rtol=1e-6)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_reordering_and_reinterpreting(write_model: Callable[[Any], Path], order: tuple[int, ...]) -> None:
    """A reorder node moves elements into the order of its layout; a reinterpreting node leaves them where they are."""
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    turned = build.layout(x.shape, order=order)
    flat = build.layout((1, 1, 24))
    nodes = [
        build.input_node("1", x.shape),
        build.reorder_node("2", "1", build.layout(x.shape), turned),
        {
            "_type": "ReinterpretLayoutNode<float>",
            "_version": "8",
            "id": "3",
            "input": build.port("3", "2"),
            "outputLayout": flat,
        },
        build.output_node("4", "3", flat),
    ]
    model = read_model(write_model(build.map_of(nodes)))
    tensors = reference.run(model, x)
    np.testing.assert_array_equal(tensors["2"], x)
    np.testing.assert_array_equal(tensors["3"].reshape(-1), x.transpose(order).reshape(-1))


def test_the_strides_of_a_layout_address_its_elements() -> None:
    layout = layers.MemoryLayout((2, 3, 4), (4, 5, 4), (1, 1, 0), (2, 0, 1))
    buffer = np.arange(layout.elements, dtype=np.float32)
    tensor = layout.view(buffer)
    for index in np.ndindex(*layout.size):
        places = zip(index, layout.offset, layout.strides, strict=True)
        assert tensor[index] == sum((i + o) * stride for i, o, stride in places)
