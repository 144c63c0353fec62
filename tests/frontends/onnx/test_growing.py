"""Joins that grow and tensors that are split: what lies in a larger tensor is read there, whoever reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ellopt.codegen.lower import lower
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.model.graph import Model
from tests.support.onnx_layers import Layers
from tests.support.onnx_models import runtime_outputs, save

SIZE = (1, 6, 5, 4)
READERS = (
    *("1x1", "3x3", "depthwise", "relu", "scaled", "excited", "pool", "window", "mean", "flipped", "reversed", "rows"),
    *("transposed", "nearest", "linear", "softmax", "sum"),
)
METHODS = (ConvolutionOptions("simple"), ConvolutionOptions("unrolled"), ConvolutionOptions("unrolled", True))


def _read(layers: Layers, kind: str, source: str, channels: int) -> str:
    """A reader of ``source``, with as many rows, columns and channels."""
    match kind:
        case "1x1" | "3x3":
            return layers.convolution(source, channels, channels, int(kind[0]))
        case "depthwise":
            return layers.convolution(source, channels, channels, group=channels)
        case "relu":
            return layers.add("Relu", source)
        case "scaled":
            return layers.add("Mul", source, layers.constant(layers.random.normal(size=(1, channels, 1, 1))))
        case "excited":
            factors = layers.convolution(layers.add("GlobalAveragePool", source), channels, channels, 1)
            return layers.add("Mul", source, layers.add("Sigmoid", factors))
        case "pool":
            return layers.add("MaxPool", source, kernel_shape=[3, 3], pads=[1] * 4)
        case "window":
            return layers.add("AveragePool", source, kernel_shape=[3, 1], pads=[1, 0, 1, 0])
        case "mean":
            mean = layers.add("ReduceMean", source, axes=[1], keepdims=1)
            return layers.add("Sub", source, mean)
        case "flipped":
            numbers = [layers.constant(np.array([n])) for n in (-1, -100, 3, -1)]
            return layers.add("Slice", source, *numbers)
        case "reversed":
            return layers.add("Gather", source, layers.constant(np.arange(channels)[::-1].copy()), axis=1)
        case "rows":
            return layers.add("Gather", source, layers.constant(np.array([0, 2, 1, 4, 3])), axis=2)
        case "transposed":
            return layers.transpose(layers.add("Sin", layers.transpose(source, 0, 2, 3, 1)), 0, 3, 1, 2)
        case "nearest" | "linear":
            sizes = layers.constant(np.array([1, channels, 2 * SIZE[2], 2 * SIZE[3]]))
            large = layers.add("Resize", source, "", "", sizes, mode=kind)
            return layers.add("MaxPool", large, kernel_shape=[2, 2], strides=[2, 2])
        case "softmax":
            return layers.add("Softmax", source, axis=1)
        case _:
            return layers.add("Add", source, source)


def _network(layers: Layers, data: st.DataObject) -> list[str]:
    """Joins, splits and readers of what is there so far; what nobody reads is put out."""
    there = {layers.convolution("x", SIZE[1], SIZE[1], 1): SIZE[1]}
    read: set[str] = set()
    for _ in range(data.draw(st.integers(3, 9))):
        source = data.draw(st.sampled_from(list(there)))
        channels = there[source]
        match data.draw(st.sampled_from(("join", "grow", "split", "read"))):
            case "join":
                parts = data.draw(st.lists(st.sampled_from(list(there)), min_size=1, max_size=3))
                joined = layers.add("Concat", source, *parts, axis=1)
                there[joined] = channels + sum(there[each] for each in parts)
                read.update((source, *parts))
            case "grow":
                new = _read(layers, data.draw(st.sampled_from(READERS)), source, channels)
                there[layers.add("Concat", source, new, axis=1)] = 2 * channels
                read.add(source)
            case "split" if channels > 1:
                first = data.draw(st.integers(1, channels - 1))
                left, right = layers.slice(source, 0, first, 1), layers.slice(source, first, channels, 1)
                there |= {left: first, right: channels - first}
                read.add(source)
            case _:
                there[_read(layers, data.draw(st.sampled_from(READERS)), source, channels)] = channels
                read.add(source)
    return [name for name in there if name not in read]


def _check(path: Path, model: Model, plan: Plan, threads: int = 1) -> None:
    """Every step agrees with its NumPy meaning, and the outputs with another runtime's."""
    values = {"x": np.random.default_rng(1).normal(size=SIZE).astype(np.float32)}
    wanted = runtime_outputs(path, values)
    found = deploy.predict_all(model, values, deploy.RunSettings(plan, threads=threads), check=True)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-4 * np.abs(array).max(), err_msg=name)


@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # each is compiled
@given(data=st.data())
def test_what_lies_in_a_larger_tensor_is_read_there(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layers = Layers()
    outputs = _network(layers, data)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    save(layers.model({"x": SIZE}, outputs), path)
    model = read_model(path)
    options = {node.node_id: data.draw(st.sampled_from(METHODS)) for node in model.convolutions}
    _check(path, model, Plan.of(options), threads=2)


def _kinds(path: Path, layers: Layers, output: str) -> list[str]:
    save(layers.model({"x": SIZE}, [output]), path)
    model = read_model(path)
    _check(path, model, Plan.of({node.node_id: METHODS[1] for node in model.convolutions}))
    return [step.type_name for step in lower(model).steps]


@pytest.mark.parametrize("all_again", [False, True])
def test_a_block_of_densenet_copies_nothing(all_again: bool, tmp_path: Path) -> None:
    """Whether each layer's result is joined with what was joined before, or with all results before it."""
    layers = Layers()
    parts = [layers.convolution("x", SIZE[1], 4, 1)]
    joined = parts[0]
    for k in range(3):
        new = layers.convolution(layers.add("Sin", joined), 4 + 2 * k, 2)
        parts.append(new)
        joined = layers.add("Concat", *parts, axis=1) if all_again else layers.add("Concat", joined, new, axis=1)
    last = layers.add("GlobalAveragePool", layers.convolution(joined, 10, 5, 1))
    assert "Concat" not in _kinds(tmp_path / "model.onnx", layers, last)


def test_halves_are_read_where_they_lie_and_joined_there(tmp_path: Path) -> None:
    """As in YOLO: both halves and what is made of one of them are joined."""
    layers = Layers()
    whole = layers.silu(layers.convolution("x", SIZE[1], 8, 1))
    left, right = layers.slice(whole, 0, 4, 1), layers.slice(whole, 4, 8, 1)
    new = layers.add("Add", right, layers.convolution(right, 4, 4))
    joined = layers.add("Concat", left, right, new, axis=1)
    kinds = _kinds(tmp_path / "model.onnx", layers, layers.convolution(joined, 12, 3, 1))
    assert not {"Concat", "Slice"} & set(kinds)


def test_a_half_that_alone_is_joined_is_copied_and_the_other_is_not(tmp_path: Path) -> None:
    """As in ShuffleNet."""
    layers = Layers()
    whole = layers.convolution("x", SIZE[1], 8, 1)
    left, right = layers.slice(whole, 0, 4, 1), layers.slice(whole, 4, 8, 1)
    joined = layers.add("Concat", left, layers.convolution(right, 4, 4, 1), axis=1)
    kinds = _kinds(tmp_path / "model.onnx", layers, layers.convolution(joined, 8, 3, 1))
    assert "Concat" not in kinds
    assert kinds.count("Slice") == 1


def test_general_layers_read_what_is_joined_where_it_lies(tmp_path: Path) -> None:
    """A Resize, moved rows, means and products of channels, beside a concatenation."""
    layers = Layers()
    first = layers.convolution("x", SIZE[1], 4, 1)
    readers = [_read(layers, kind, first, 4) for kind in ("nearest", "linear", "rows", "flipped", "excited", "window")]
    joined = layers.add("Concat", first, *readers, axis=1)
    kinds = _kinds(tmp_path / "model.onnx", layers, layers.convolution(joined, 28, 3, 1))
    assert "Concat" not in kinds
