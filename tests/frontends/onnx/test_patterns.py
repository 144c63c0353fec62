"""Functions that a file writes in pieces become one function of the model, and no others; results stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from ellopt.deploy.ports import joined, parted
from ellopt.frontends.base import read_model
from ellopt.model import layers, reference
from tests.support.onnx_models import make_model, runtime_outputs, save

Pieces = list[tuple[str, str, Any]]

#: Each from x: (operator, what it reads besides the piece before, attributes). "x" is x itself, numbers are constants.
WHOLE: dict[str, tuple[Pieces, str]] = {
    "paddle": ([("Add", "3", {}), ("Clip", "0 6", {}), ("Mul", "x", {}), ("Div", "6", {})], "hard_swish"),
    "division first": ([("Add", "3", {}), ("Clip", "0 6", {}), ("Div", "6", {}), ("Mul", "x", {})], "hard_swish"),
    "x first": ([("HardSigmoid", "", {"alpha": 1 / 6}), ("Mul", "x first", {})], "hard_swish"),
    "scaled": ([("Mul", "0.5", {}), ("Add", "1", {}), ("Clip", "0 2", {}), ("Mul", "x", {}), ("Mul", "0.5", {})],
               "hard_swish"),
    "swish": ([("Sigmoid", "", {}), ("Mul", "x", {})], "swish"),
    "gelu": ([("Div", "1.4142135", {}), ("Erf", "", {}), ("Add", "1", {}), ("Mul", "x", {}), ("Mul", "0.5", {})],
             "gelu"),
    "half first": ([("Mul", "0.70710677", {}), ("Erf", "", {}), ("Add", "1", {}), ("Mul", "0.5", {}), ("Mul", "x", {})],
                   "gelu"),
    "mish": ([("Softplus", "", {}), ("Tanh", "", {}), ("Mul", "x first", {})], "mish"),
}  # fmt: skip
WHOLES = {function for _, function in WHOLE.values()}
NO_WHOLE: dict[str, Pieces] = {
    "another factor": [("Add", "3", {}), ("Clip", "0 6", {}), ("Mul", "x", {}), ("Div", "5", {})],
    "another limit": [("Add", "3", {}), ("Clip", "-1 6", {}), ("Mul", "x", {}), ("Div", "6", {})],
    "swish of 2x": [("Mul", "2", {}), ("Sigmoid", "", {}), ("Mul", "x", {})],
    "of another": [("Sigmoid", "", {}), ("Mul", "z", {})],
    "gelu of x": [("Erf", "", {}), ("Add", "1", {}), ("Mul", "x", {}), ("Mul", "0.5", {})],
    "no gelu": [("Div", "1.4142135", {}), ("Erf", "", {}), ("Mul", "x", {}), ("Mul", "0.5", {})],
    "tanh": [("Tanh", "", {}), ("Mul", "x", {})],
    "behind": [("Sigmoid", "", {}), ("Mul", "2", {}), ("Add", "1", {}), ("Mul", "x", {})],
}


def model(pieces: Pieces, further: str = "") -> Any:
    """The pieces behind a convolution x of the input; the result is y. ``further``: a piece that is an output, too."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32) * 3
    nodes = [helper.make_node("Conv", ["in", "w"], ["x"]), helper.make_node("Neg", ["in2"], ["z"])]
    constants = {"w": weights}
    last = "x"
    for k, (kind, others, attributes) in enumerate(pieces):
        names = []
        for word in others.replace(" first", "").split():
            names.append(word if word in "xz" else f"c{word}")
            if word not in "xz":
                constants[f"c{word}"] = np.float32(word).reshape(())
        name = "y" if k == len(pieces) - 1 else f"p{k}"
        inputs = [*names, last] if others.endswith("first") else [last, *names]
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        last = name
    shapes = {"in": (1, 3, 5, 4), "in2": (1, 4, 5, 4)}
    return make_model(nodes, shapes, ["y", "z", *([further] if further else [])], constants)


def check(made: Any, path: Path) -> list[str]:
    """The functions in the Model; what it computes is what onnxruntime computes."""
    read = read_model(save(made, path / "m.onnx"))
    random = np.random.default_rng(1)
    values = {port.name: (random.normal(size=port.shape) * 3).astype(np.float32) for port in read.inputs}
    found = parted(read, reference.predict(read, joined(read, values)))
    for name, wanted in runtime_outputs(path / "m.onnx", values).items():
        # onnxruntime's sigmoid is off by 1e-7 or so, which products with large numbers enlarge.
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(wanted).max()))
    return [node.function for node in read.nodes if isinstance(node, layers.Activation)]


@pytest.mark.parametrize("name", WHOLE)
def test_pieces_are_one_function(name: str, tmp_path: Path) -> None:
    pieces, function = WHOLE[name]
    assert check(model(pieces), tmp_path) == [function]


@pytest.mark.parametrize("name", NO_WHOLE)
def test_what_is_another_function_stays_in_pieces(name: str, tmp_path: Path) -> None:
    assert not WHOLES & set(check(model(NO_WHOLE[name]), tmp_path))


@pytest.mark.parametrize("name", WHOLE)
def test_a_piece_that_is_read_elsewhere_stays(name: str, tmp_path: Path) -> None:
    assert not WHOLES & set(check(model(WHOLE[name][0], further="p0"), tmp_path))


def test_half_of_x_times_a_gate_is_one_function(tmp_path: Path) -> None:
    """As TensorFlow's exporter writes gelu."""
    made = model([("Mul", "0.70710677", {}), ("Erf", "", {}), ("Add", "1", {}), ("Mul", "x", {})])
    half = helper.make_node("Mul", ["x", "half"], ["h"])
    made.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))
    last = made.graph.node[-1]
    last.input[list(last.input).index("x")] = "h"
    made.graph.node.insert(len(made.graph.node) - 1, half)
    assert check(made, tmp_path) == ["gelu"]


PIECE = st.sampled_from(
    [("Add", "3", {}), ("Add", "1", {}), ("Mul", "0.5", {}), ("Div", "6", {}), ("Clip", "0 6", {}), ("Mul", "x", {}),
     ("HardSigmoid", "", {}), ("Sigmoid", "", {}), ("Relu", "", {}), ("Mul", "z", {}), ("Erf", "", {}),
     ("Div", "1.4142135", {}), ("Softplus", "", {}), ("Tanh", "", {})]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(PIECE, min_size=2, max_size=6))
def test_any_pieces_compute_the_same(pieces: Pieces, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(model(pieces), tmp_path_factory.mktemp("pieces"))
