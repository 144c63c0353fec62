"""Nodes over memory of any form mean what ELL means by them, as NumPy says it; parts of outputs; several ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from ellopt.core.errors import ModelFormatError
from ellopt.deploy.ports import joined, parted
from ellopt.frontends.ell.read import read_model
from ellopt.model import reference
from tests.support import ell_archives as build
from tests.support.ell_archives import Json

SIZE = (3, 2, 4)
X = np.random.default_rng(3).normal(size=SIZE).astype(np.float32)
FLAT = X.reshape(-1)
CHANNEL = np.array([0.5, -1.0, 2.0, 3.0], np.float32)
ROW = np.array([1.0, 2.0, -4.0], np.float32)


def node(kind: str, ports: dict[str, str], **fields: Any) -> Json:
    """Node 2."""
    given = {key: build.port("2", source, key) for key, source in ports.items()}
    return {"_type": f"{kind}<float>", "_version": "0", "id": "2", **given, **fields}


def constant(node_id: str, values: np.ndarray, size: tuple[int, ...]) -> Json:
    fields = {"values": values.reshape(-1).tolist(), "layout": build.layout(size)}
    return {"_type": "ConstantNode<float>", "_version": "8", "id": node_id, **fields}


def computed(path: Path, made: Json, output: str = "2.output") -> np.ndarray:
    """What node 2 makes of X, node 1; nodes 7 and 8 are constants."""
    others = [constant("7", CHANNEL, (1, 1, 4)), constant("8", ROW, (3, 1, 1))]
    data = build.map_of([build.input_node("1", SIZE), *others, made])
    data["outputElements"] = [output]
    path.write_text(json.dumps(data))
    return reference.predict(read_model(path), X)


THREE = {"input1": "1", "input2": "8", "input3": "7"}
SECOND = {"input1": "1", "input2": "1.output[0:8]"}
IN, OUT = {"inputLayout": build.layout(SIZE)}, {"outputLayout": build.layout(SIZE)}
MATRIX = {"lda": 4, "ldb": 1, "ldc": 1, "m": 6, "k": 4, "n": 1}
BOXES = {"width": 3, "height": 2, "numBoxesPerCell": 1, "numClasses": 2, "numAnchors": 1}


def boxes(apply: bool) -> np.ndarray:
    classes = softmax(X[..., 2:], axis=-1) if apply else X[..., 2:]
    return np.concatenate([X[..., :1], expit(X[..., 1:2]), classes], axis=-1)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (node("UnaryOperationNode", {"input": "1"}, operation="abs"), np.abs(X)),
        (node("UnaryOperationNode", {"input": "1"}, operation="square"), X * X),
        (node("UnaryOperationNode", {"input": "1"}, operation="sign"), np.sign(X)),
        (node("UnaryOperationNode", {"input": "1"}, operation="cos"), np.cos(X)),
        (node("UnaryOperationNode", {"input": "1"}, operation="softmax"), softmax(X)),
        (node("BroadcastUnaryOperationNode", {"input": "1"}, operation="exp", **OUT), np.exp(X)),
        (
            node("BroadcastBinaryOperationNode", {"input1": "1", "input2": "7"}, operation="subtract", **OUT),
            X - CHANNEL,
        ),
        (
            node("BroadcastBinaryOperationNode", {"input1": "8", "input2": "1"}, operation="divide", **OUT),
            ROW[:, None, None] / X,
        ),
        (
            node("BroadcastTernaryOperationNode", THREE, operation="fma", **OUT),
            X * ROW[:, None, None] + CHANNEL,
        ),
        (
            node(
                "BroadcastLinearFunctionNode",
                {"primaryInput": "1", "secondaryInput1": "7", "secondaryInput2": "7"},
                broadcastDimension=2, **IN, **OUT,
            ),
            X * CHANNEL + CHANNEL,
        ),
        (
            node(
                "BroadcastLinearFunctionNode",
                {"primaryInput": "1", "secondaryInput2": "8"}, broadcastDimension=0, **IN, **OUT,
            ),
            X + ROW[:, None, None],
        ),
        (
            {
                **node("BroadcastUnaryFunctionNode", {"primaryInput": "1"}, **IN, **OUT),
                "_type": "BroadcastUnaryFunctionNode<float,ReLUActivationFunction<float>>",
            },
            np.maximum(X, 0),
        ),
        (node("SumNode", {"input": "1"}), X.sum()),
        (node("MatrixMatrixMultiplyNode", {"input1": "1", "input2": "7"}, **MATRIX), X.reshape(6, 4) @ CHANNEL),
        (
            node("MatrixMatrixMultiplyNode", {"input1": "1", "input2": "1"}, m=4, k=6, n=4, lda=4, ldb=4, ldc=4,
                 transpose1=True, transpose2=False, transposeOutput=False),
            X.reshape(6, 4).T @ X.reshape(6, 4),
        ),
        (
            node("MatrixMatrixMultiplyNode", SECOND, m=6, k=4, n=2, lda=4, ldb=4, ldc=6,
                 transpose1=False, transpose2=True, transposeOutput=True),
            FLAT[:8].reshape(2, 4) @ X.reshape(6, 4).T,
        ),
        (node("SliceNode", {"input": "1"}, start=1, count=2, layout=build.layout((2, 2, 4))), X[1:]),
        (node("SpliceNode", {"input_0": "1", "input_1": "7"}, numInputs=2), np.concatenate([FLAT, CHANNEL])),
        (node("ConcatenationNode", {"input": "{1.output, 8.output}"}, shape=[1, 1, 27]), np.concatenate([FLAT, ROW])),
        (node("ConcatenationNode", {"input": "{1.output[3:9], 1.output[0]}"}, shape=[7]), FLAT[[*range(3, 9), 0]]),
        (node("RegionDetectionNode", {"input": "1"}, **IN, **OUT, **BOXES, applySoftmax=True), boxes(True)),
        (node("RegionDetectionNode", {"input": "1"}, **IN, **OUT, **BOXES, applySoftmax=False), boxes(False)),
        (build.layer_node("RegionDetection", "2", "1", IN["inputLayout"], OUT["outputLayout"], BOXES), boxes(True)),
    ],
)  # fmt: skip
def test_meaning(tmp_path: Path, made: Json, wanted: np.ndarray) -> None:
    found = computed(tmp_path / "m.ell", made)
    np.testing.assert_allclose(found, np.ravel(wanted), rtol=1e-6, atol=1e-7)


def test_memory_counts_with_its_border_and_order(tmp_path: Path) -> None:
    """A sum, a slice and a part are of memory as it lies, here channels first within a border of -1."""
    written = build.layout(SIZE, padding=1, order=(2, 0, 1))
    memory = np.pad(X, ((1, 1), (1, 1), (0, 0)), constant_values=-1).transpose(2, 0, 1).reshape(-1)
    nodes = [
        build.input_node("1", SIZE),
        build.reorder_node("3", "1", build.layout(SIZE), written, padding=-1),
        {**node("SumNode", {"input": "3"})},
    ]
    data = build.map_of(nodes)
    data["outputElements"] = ["2.output", "3.output[5:12]", "3.output"]
    data["outputNames"] = ["sum", "part", "inside"]
    path = tmp_path / "m.ell"
    path.write_text(json.dumps(data))
    model = read_model(path)
    found = parted(model, reference.predict(model, X))
    assert found["sum"] == pytest.approx(memory.sum(), rel=1e-6)
    np.testing.assert_array_equal(found["part"].reshape(-1), memory[5:12])
    np.testing.assert_array_equal(found["inside"], X)


def test_inputs_and_outputs_are_those_of_the_map_by_their_names_and_in_its_order(tmp_path: Path) -> None:
    size = (1, 1, 4)
    add = {
        **node("BinaryOperationNode", {"input1": "1", "input2": "5"}),
        "inputLayout1": build.layout(size),
        "inputLayout2": build.layout(size),
        "operation": "subtract",
    }
    nodes = [
        build.input_node("1", size),
        build.input_node("5", size),
        add,
        build.output_node("9", "2", build.layout(size)),
    ]
    data = build.map_of(nodes)
    data |= {"inputNames": ["second", "first"], "inputIds": ["5", "1"]}
    data |= {"outputNames": ["difference", "again"], "outputElements": ["9.output", "2.output"]}
    path = tmp_path / "m.ell"
    path.write_text(json.dumps(data))
    model = read_model(path)
    assert [port.name for port in model.inputs] == ["second", "first"]
    values = joined(model, {"first": CHANNEL.reshape(size), "second": np.ones(size, np.float32)})
    found = parted(model, reference.predict(model, values))
    np.testing.assert_array_equal(found["difference"].reshape(-1), CHANNEL - 1)
    np.testing.assert_array_equal(found["again"], found["difference"])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (node("UnaryOperationNode", {"input": "1"}, operation="logicalNot"), "logicalNot of truth values"),
        (node("BroadcastBinaryOperationNode", {"input1": "1", "input2": "7"}, operation="modulo", **OUT), "modulo"),
        (node("SliceNode", {"input": "1"}, start=2, count=2, layout=build.layout((2, 2, 4))), "takes 2 to 4 of 3"),
        (node("SumNode", {"input": "{}"}), "input is missing"),
        (node("MatrixMatrixMultiplyNode", {"input1": "1", "input2": "7"}, **{**MATRIX, "m": 7}), "no matrix of 7 x 4"),
        (node("ConcatenationNode", {"input": "{1.output[3:90]}"}, shape=[7]), "elements 3 to 90 of node 1"),
        (node("RegionDetectionNode", {"input": "1"}, **IN, **OUT, **{**BOXES, "numClasses": 3}), "boxes make"),
        (node("SpliceNode", {"input_0": "1"}, numInputs=5), "numInputs"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, made: Json, says: str) -> None:
    if made["_type"].startswith("SumNode"):
        made["input"]["input"] = "{}"
    with pytest.raises(ModelFormatError, match=r"node 2 \(") as raised:
        computed(tmp_path / "m.ell", made)
    assert says in str(raised.value)
