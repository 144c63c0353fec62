"""Concatenation without copies: what writes into its slice computes the same, whatever is joined with it."""

from __future__ import annotations

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
KINDS = ("3x3", "1x1", "groups", "residual", "relu", "pool", "mean", "elu", "scaled", "difference", "sine", "same")


class Branches:
    """Nodes over ``x``, all of whose results have the shape SIZE."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, kind: str, inputs: list[str], **fields: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"v{len(self.nodes)}"], **fields))
        return self.nodes[-1].output[0]

    def convolution(self, source: str, size: int, channels: int, group: int = 1, filters: int = 4) -> str:
        name = f"w{len(self.nodes)}"
        shape = (filters, channels // group, size, size)
        self.constants[name] = self.random.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(channels * size))
        return self.add("Conv", [source, name], group=group, pads=[size // 2] * 4)

    def scaled(self, source: str) -> str:
        name = f"s{len(self.nodes)}"
        self.constants[name] = self.random.normal(size=(1, 4, 1, 1)).astype(np.float32)
        return self.add("Mul", [source, name])

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
