"""Parts of networks as PyTorch, TensorFlow's and Paddle's exporters write them: what they mean is onnxruntime's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ellopt.codegen.lower import lower
from ellopt.deploy.ports import joined, parted
from ellopt.frontends.base import read_model
from ellopt.model import reference
from tests.support.onnx_layers import Layers
from tests.support.onnx_models import runtime_outputs, save

Outputs = Sequence[str]
POOLS = ("GlobalAveragePool", "GlobalMaxPool")


def channels_last(n: Layers) -> Outputs:
    """TensorFlow: a transposition before and behind every convolution, bias and scale between; a computed shape."""
    x = "x"
    for channels, filters in ((3, 8), (8, 16)):
        x = n.convolution(n.transpose(x, 0, 3, 1, 2), channels, filters, strides=[2, 2], auto_pad="SAME_UPPER")
        x = n.add("Add", n.transpose(x, 0, 2, 3, 1), n.constant(n.random.normal(size=filters)))
        x = n.add("Clip", x, n.constant(0.0), n.constant(6.0))
    shape = n.add("Concat", n.slice(n.add("Shape", x), 0, 1, 0), n.constant(np.array([64, 16])), axis=0)
    return [n.add("Softmax", n.add("Reshape", x, shape), axis=2)]


def sizes_from_shapes(n: Layers) -> Outputs:
    """Paddle: sizes of Resize come from another tensor's shape by way of int32; pooling with ceil_mode."""
    large = n.convolution("x", 3, 8, strides=[2, 2])
    small = n.convolution(large, 8, 8, strides=[2, 2])
    size = n.add("Cast", n.add("Cast", n.slice(n.add("Shape", large), 2, 4, 0), to=6), to=7)
    sizes = n.add("Concat", n.slice(n.add("Shape", small), 0, 2, 0), size, axis=0)
    x = n.add("Add", large, n.add("Resize", small, "", "", sizes, mode="linear"))
    return [n.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]


def boxes(n: Layers) -> Outputs:
    """SSD: boxes of what the heads say and constant anchors."""
    x = n.convolution("x", 3, 16, strides=[4, 4])
    found = n.reshape(n.transpose(n.convolution(x, 16, 8), 0, 2, 3, 1), 1, -1, 4)
    anchors = n.random.uniform(0.1, 0.9, (1, 32, 4))
    middle = n.add(
        "Add", n.add("Mul", n.slice(found, 0, 2, 2), n.constant(anchors[..., 2:])), n.constant(anchors[..., :2])
    )
    half = n.add("Mul", n.add("Exp", n.slice(found, 2, 4, 2)), n.constant(anchors[..., 2:] / 2))
    scores = n.reshape(n.transpose(n.convolution(x, 16, 6), 0, 2, 3, 1), 1, -1, 3)
    return [n.add("Concat", n.add("Sub", middle, half), n.add("Add", middle, half), axis=2), n.add("Softmax", scores)]


def attention_of_channels_and_places(n: Layers) -> Outputs:
    """CBAM: two pools through the same two layers, then the mean and the largest of all channels."""
    x = n.add("Relu", n.convolution("x", 3, 16))
    weights = n.weights(4, 16, 1, 1), n.weights(16, 4, 1, 1)
    gates = [n.add("Conv", n.add("Relu", n.add("Conv", n.add(pool, x), weights[0])), weights[1]) for pool in POOLS]
    x = n.add("Mul", n.add("Sigmoid", n.add("Add", *gates)), x)
    places = [n.add(kind, x, axes=[1], keepdims=1) for kind in ("ReduceMean", "ReduceMax")]
    return [n.add("Mul", x, n.add("Sigmoid", n.convolution(n.add("Concat", *places, axis=1), 2, 1, 7)))]


def local_response(n: Layers) -> Outputs:
    """PyTorch's LocalResponseNorm: a mean over neighbouring channels, in three dimensions; slices of everything."""
    x = n.convolution("x", 3, 8)
    squares = n.reshape(n.add("Mul", x, x), 1, 1, 8, 10, 12)
    padded = n.add("Pad", squares, n.constant(np.array([0, 0, 2, 0, 0, 0, 0, 2, 0, 0])))
    mean = n.add("AveragePool", padded, kernel_shape=[5, 1, 1], strides=[1, 1, 1])
    sizes = n.add("MaxPool", padded, kernel_shape=[2, 1, 3], strides=[2, 1, 2], pads=[0, 0, 1, 0, 0, 1])
    spread = n.add("Add", n.add("Mul", n.reshape(mean, 1, 8, 10, 12), n.constant(1e-2)), n.constant(2.0))
    x = n.add("Div", x, n.add("Pow", spread, n.constant(0.75)))
    return [n.slice(x, 0, 2**31, 1), sizes]


def attention_between_patches(n: Layers) -> Outputs:
    """MobileViT: patches of an image become batches of matrices, and the image again."""
    x = n.reshape(n.silu(n.convolution("x", 3, 16)), 64, 2, 4, 2)
    x = n.reshape(n.transpose(x, 0, 2, 1, 3), 1, 16, 16, 4)
    x = n.reshape(n.transpose(x, 0, 3, 2, 1), 4, 16, 16)
    query, key, value = (
        n.transpose(n.reshape(n.add("MatMul", x, n.weights(16, 16)), 4, 16, 2, 8), 0, 2, 1, 3) for _ in range(3)
    )
    weights = n.add("Softmax", n.add("MatMul", query, n.transpose(key, 0, 1, 3, 2)), axis=-1)
    x = n.add("Add", x, n.reshape(n.transpose(n.add("MatMul", weights, value), 0, 2, 1, 3), 4, 16, 16))
    x = n.reshape(n.transpose(n.reshape(x, 1, 4, 16, 16), 0, 3, 2, 1), 64, 4, 2, 2)
    return [n.convolution(n.reshape(n.transpose(x, 0, 2, 1, 3), 1, 16, 8, 8), 16, 8)]


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (channels_last, (1, 32, 32, 3)),
        (sizes_from_shapes, (1, 3, 32, 32)),
        (boxes, (1, 3, 16, 16)),
        (attention_of_channels_and_places, (1, 3, 10, 12)),
        (local_response, (1, 3, 10, 12)),
        (attention_between_patches, (1, 3, 8, 8)),
    ],
)
def test_parts_of_networks(build: Callable[[Layers], Outputs], shape: tuple[int, ...], tmp_path: Path) -> None:
    layers = Layers(13)
    outputs = build(layers)
    path = save(layers.model({"x": shape}, outputs), tmp_path / "m.onnx")
    model = read_model(path)
    lower(model)
    values = {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}
    found = parted(model, reference.predict(model, joined(model, values)))
    for name, wanted in runtime_outputs(path, values).items():
        np.testing.assert_allclose(found[name].reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
