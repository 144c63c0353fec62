"""Concatenation without copies: what writes into its slice computes the same, whatever is joined with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnx import helper

from ellopt.codegen.lower import lower
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from tests.support.onnx_models import make_model, runtime_outputs, save

METHODS = (
    ConvolutionOptions("simple"),
    ConvolutionOptions("unrolled"),
    ConvolutionOptions("unrolled", True),
    ConvolutionOptions("winograd", winograd_tile_size=4),
)
SIZE = (1, 4, 6, 5)
KINDS = (
    *("3x3", "1x1", "groups", "residual", "relu", "pool", "mean", "elu", "scaled", "difference", "sine", "same"),
    *("nearest", "linear"),
)


class Branches:
    """Nodes over ``x``, all of whose results have the shape SIZE."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, kind: str, inputs: list[str], **fields: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **fields))
        return name

    def convolution(self, source: str, size: int, channels: int, group: int = 1, filters: int = 4) -> str:
        name = f"w{len(self.nodes)}"
        shape = (filters, channels // group, size, size)
        self.constants[name] = self.random.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(channels * size))
        return self.add("Conv", [source, name], group=group, pads=[size // 2] * 4)

    def scaled(self, source: str) -> str:
        name = f"s{len(self.nodes)}"
        self.constants[name] = self.random.normal(size=(1, 4, 1, 1)).astype(np.float32)
        return self.add("Mul", [source, name])

    def resized(self, source: str, mode: str) -> str:
        """Of a quarter of its size."""
        small = self.add("MaxPool", [source], kernel_shape=[2, 2], strides=[2, 2])
        self.constants["sizes"] = np.asarray(SIZE, np.int64)
        return self.add("Resize", [small, "", "", "sizes"], mode=mode)

    def draw(self, data: st.DataObject, source: str, channels: int) -> str:
        kind = data.draw(st.sampled_from(KINDS))
        size = 3 if kind == "3x3" else 1
        found = self.convolution(source, size, channels, 2 if kind == "groups" and channels % 2 == 0 else 1)
        match kind:
            case "residual":
                return self.add("Add", [self.convolution(found, 3, 4, 4), found])
            case "relu":
                return self.add("Relu", [found])
            case "pool":
                return self.add("MaxPool", [found], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            case "mean":
                return self.add("AveragePool", [found], kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)
            case "elu":
                return self.add("Elu", [self.add("MaxPool", [found], kernel_shape=[3, 3], pads=[1, 1, 1, 1])])
            case "scaled":
                return self.scaled(self.add("MaxPool", [found], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
            case "difference":
                return self.add("Sub", [self.add("Sin", [found]), found])
            case "nearest" | "linear":
                return self.resized(found, kind)
            case "sine":
                return self.add("Sin", [found])
            case _:
                return found


@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # each is compiled
@given(data=st.data())
def test_joins_of_every_kind(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    branches, channels, source, outputs = Branches(), 4, "x", []
    for _ in range(data.draw(st.integers(1, 3))):
        parts = [branches.draw(data, source, channels) for _ in range(data.draw(st.integers(1, 3)))]
        parts += data.draw(st.lists(st.sampled_from(parts), max_size=1))
        if data.draw(st.booleans()):  # read by others, too
            parts.append(branches.draw(data, data.draw(st.sampled_from(parts)), 4))
        axis = data.draw(st.integers(1, 3))
        joined = branches.add("Concat", parts, axis=axis)
        if data.draw(st.booleans()):
            joined = branches.add("Concat", [joined, branches.draw(data, source, channels)], axis=axis)
        if data.draw(st.booleans()):
            joined = branches.add("Relu", [joined])
        if data.draw(st.booleans()):
            outputs.append(data.draw(st.sampled_from(parts)))
        outputs.append(joined)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    names = list(dict.fromkeys(outputs))
    save(make_model(branches.nodes, {"x": SIZE}, names, branches.constants, opset=18), path)
    model = read_model(path)
    plan = Plan.of(
        {
            node.node_id: data.draw(st.sampled_from(METHODS if node.groups == 1 else METHODS[:2]))
            if node.window == (3, 3)
            else data.draw(st.sampled_from(METHODS[:3]))
            for node in model.convolutions
        }
    )
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    wanted = runtime_outputs(path, values)
    found = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=2), check=True)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_what_is_joined_is_not_copied(axis: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Convolutions, pooling, numbers of channels, functions, and differences of two tensors."""
    branches = Branches()
    pooled = branches.add("MaxPool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    parts = [branches.convolution("x", size, 4) for size in (1, 3)]
    parts += [branches.add("MaxPool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), branches.scaled(pooled)]
    parts += [branches.add("Elu", [pooled]), branches.add("Sub", [pooled, branches.scaled(pooled)])]
    joined = branches.add("Concat", parts, axis=axis)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    save(make_model(branches.nodes, {"x": SIZE}, [joined], branches.constants), path)
    model = read_model(path)
    kinds = [step.type_name for step in lower(model).steps]
    assert "Concat" not in kinds
    assert kinds.count("Conv") == 2
    assert kinds.count("Transpose") == 2  # of the input, which three read, and of the output
    plan = Plan.of({node.node_id: METHODS[1] for node in model.convolutions})
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    [wanted] = runtime_outputs(path, values).values()
    [found] = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=2), check=True).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_what_others_read_too_and_what_is_resized_is_not_copied(axis: int, tmp_path: Path) -> None:
    """As in a feature pyramid; a convolution that reads a border has a copy with it."""
    branches = Branches()
    first = branches.convolution("x", 1, 4)
    others = [branches.convolution(first, 1, 4), branches.add("Elu", [first]), branches.add("Mul", [first, first])]
    others += [branches.add("MaxPool", [first], kernel_shape=[size] * 2, pads=[size // 2] * 4) for size in (3, 5)]
    means = [
        branches.add("AveragePool", [first], kernel_shape=[3, 3], pads=[1] * 4),
        branches.resized(first, "nearest"),
    ]
    added = branches.add("Add", [branches.convolution("x", 1, 4), first])
    joined = branches.add("Concat", [first, *others, branches.resized("x", "linear"), *means, added], axis=axis)
    path = tmp_path / "model.onnx"
    last = branches.add("Relu", [joined])
    save(make_model(branches.nodes, {"x": SIZE}, [last], branches.constants, opset=18), path)
    model = read_model(path)
    assert "Concat" not in [step.type_name for step in lower(model).steps]
    plan = Plan.of({node.node_id: METHODS[1] for node in model.convolutions})
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    [wanted] = runtime_outputs(path, values).values()
    [found] = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=2), check=True).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_factors_of_channels_multiply_in_place(tmp_path: Path) -> None:
    """Squeeze and excite: the product lies where its pixels lay."""
    branches = Branches()
    first = branches.add("HardSwish", [branches.convolution("x", 3, 4)])
    factors = branches.convolution(branches.add("GlobalAveragePool", [first]), 1, 4)
    product = branches.add("Mul", [first, branches.add("HardSigmoid", [factors])])
    path = tmp_path / "model.onnx"
    last = branches.convolution(product, 1, 4)
    save(make_model(branches.nodes, {"x": SIZE}, [last], branches.constants, opset=18), path)
    model = read_model(path)
    network = lower(model)
    [step] = [step for step in network.steps if step.type_name == "Mul"]
    assert network.tensors[step.output].offset == network.tensors[step.inputs[0]].offset
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    [wanted] = runtime_outputs(path, values).values()
    [found] = deploy.predict_all(model, values, deploy.RunSettings(threads=2), check=True).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_transposed_convolution_writes_beside_what_it_is_joined_with(tmp_path: Path) -> None:
    """It moves several pixels of a row at once, unless they lie apart."""
    branches = Branches()
    weights = branches.random.normal(size=(4, 4, 2, 2)).astype(np.float32)
    branches.constants["t"] = weights
    skipped = branches.add("Relu", [branches.convolution("x", 3, 4)])
    small = branches.add("MaxPool", [skipped], kernel_shape=[2, 2], strides=[2, 2])
    large = branches.add("ConvTranspose", [small, "t"], kernel_shape=[2, 2], strides=[2, 2])
    joined = branches.add("Concat", [large, skipped], axis=1)
    path, size = tmp_path / "model.onnx", (1, 4, 6, 8)
    last = branches.convolution(joined, 1, 8)
    save(make_model(branches.nodes, {"x": size}, [last], branches.constants, opset=18), path)
    model = read_model(path)
    assert "Concat" not in [step.type_name for step in lower(model).steps]
    values = {"x": np.random.default_rng(1).normal(size=size).astype(np.float32)}
    [wanted] = runtime_outputs(path, values).values()
    [found] = deploy.predict_all(model, values, deploy.RunSettings(threads=2), check=True).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", METHODS)
def test_what_lies_in_a_slice_is_read_with_a_border(options: ConvolutionOptions, tmp_path: Path) -> None:
    """GhostNet: a depthwise layer reads what it is joined with, and so do layers of other windows."""
    branches = Branches()
    first = branches.add("Relu", [branches.convolution("x", 1, 4)])
    cheap = branches.add("Relu", [branches.convolution(first, 3, 4, 4)])
    joined = branches.add("Concat", [first, cheap, branches.convolution(first, 3, 4)], axis=1)
    path = tmp_path / "model.onnx"
    last = branches.convolution(joined, 1, 12)
    save(make_model(branches.nodes, {"x": SIZE}, [last], branches.constants, opset=18), path)
    model = read_model(path)
    assert "Concat" not in [step.type_name for step in lower(model).steps]
    plan = Plan.of({node.node_id: options if node.window == (3, 3) else METHODS[1] for node in model.convolutions})
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    [wanted] = runtime_outputs(path, values).values()
    [found] = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=2), check=True).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
