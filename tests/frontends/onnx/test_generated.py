"""Generated code against onnxruntime: convolutions of every geometry, and all other kinds of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from tests.support.onnx_models import make_model, runtime_outputs, save

RANDOM = np.random.default_rng(7)
Constants = dict[str, np.ndarray]


def weights(*shape: int) -> np.ndarray:
    return (RANDOM.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def convolutions() -> tuple[list[Any], Constants]:
    """Branches from x (1, 6, 9, 11) and, of one dimension, from z (1, 4, 40)."""
    nodes, constants = [], Constants()
    for k, (source, shape, attributes) in enumerate(
        [
            ("x", (5, 6, 3, 3), {"pads": [1, 1, 1, 1]}),
            ("x", (5, 6, 1, 3), {}),
            ("x", (7, 6, 5, 2), {"strides": [2, 1], "pads": [0, 1, 3, 0]}),
            ("x", (16, 6, 2, 4), {"strides": [1, 3]}),
            ("x", (4, 6, 3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
            ("x", (18, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
            ("x", (6, 2, 1, 1), {"group": 3}),
            ("x", (6, 1, 3, 3), {"group": 6, "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
            ("x", (6, 1, 5, 5), {"group": 6, "pads": [2, 2, 2, 2]}),
            ("x", (6, 1, 1, 4), {"group": 6, "strides": [2, 1]}),
            ("x", (6, 1, 3, 2), {"group": 6, "dilations": [2, 1]}),
            ("x", (12, 1, 3, 3), {"group": 6}),
            ("z", (8, 4, 7), {"strides": [2], "pads": [3, 2]}),
            ("z", (4, 1, 5), {"group": 4, "dilations": [3]}),
        ]
    ):
        constants |= {f"w{k}": weights(*shape), f"b{k}": weights(shape[0], 1).reshape(-1)}
        nodes.append(helper.make_node("Conv", [source, f"w{k}", f"b{k}"], [f"c{k}"], **attributes))
        activation = ("Relu", "HardSwish", "Elu", "Sigmoid", "Mish", "Softplus", "LeakyRelu", "Identity")[k % 8]
        nodes.append(helper.make_node(activation, [f"c{k}"], [f"y{k}"]))
    for k, (source, shape, attributes) in enumerate(
        [
            ("x", (6, 4, 2, 2), {"strides": [2, 2]}),
            ("x", (6, 2, 3, 3), {"strides": [2, 1], "pads": [1, 0, 0, 2], "output_padding": [1, 0], "group": 2}),
            ("x", (6, 1, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 6}),
            ("z", (4, 3, 4), {"strides": [3]}),
        ]
    ):
        constants[f"t{k}"] = weights(*shape)
        nodes.append(helper.make_node("ConvTranspose", [source, f"t{k}"], [f"u{k}"], **attributes))
    return nodes, constants


def others() -> tuple[list[Any], Constants]:
    """One branch for each way in which steps that are no convolutions loop, from x (1, 6, 9, 11)."""
    whole: Constants = {
        "scales": np.array([1, 1, 2.3, 1.7], np.float32),
        "wide": np.array([1, 1, 2, 2], np.float32),
        "one": np.float32(1.5).reshape(()),
        "channel": weights(6, 1, 1),
        "column": weights(1, 11),
        "row": weights(1, 9, 1),
        "mul": weights(6 * 99, 5),
        "right": weights(11, 4),
        "around": np.array([0, 1, 2, 1, 0, 2, 3, 0]),
        "flat": np.array([1, 594]),
        "starts": np.array([8, -1]),
        "ends": np.array([-100, 0]),
        "axes": np.array([2, 3]),
        "steps": np.array([-3, -2]),
        "rows": np.array([3, 0, 0, 7]),
        "groups": np.array([1, 2, 3, 9, 11]),
        "joined": np.array([1, 6, 9, 11]),
        "half": np.float32(0.5).reshape(()),
        "elements": RANDOM.integers(-9, 9, (1, 6, 4, 11)),
        "tuples": np.array([[0, 1, 2], [0, -2, 0], [0, 5, -1]]),
        "updates": weights(3, 11),
    }
    rows: list[tuple[str, list[str], dict[str, Any]]] = [
        ("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}),
        ("MaxPool", ["x"], {"kernel_shape": [2, 3], "strides": [1, 2], "dilations": [2, 1], "ceil_mode": 1}),
        ("AveragePool", ["x"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        (
            "AveragePool",
            ["x"],
            {"kernel_shape": [2, 4], "strides": [2, 3], "pads": [1, 0, 0, 2], "count_include_pad": 1},
        ),
        ("AveragePool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2]}),
        ("GlobalAveragePool", ["x"], {}),
        ("GlobalMaxPool", ["x"], {}),
        ("ReduceMean", ["x"], {"axes": [1], "keepdims": 0}),
        ("ReduceMax", ["x"], {"axes": [1, 3]}),
        ("ReduceMin", ["x"], {}),
        ("Softmax", ["x"], {"axis": 1}),
        ("Softmax", ["x"], {"axis": 2}),
        ("LogSoftmax", ["x"], {"axis": 3}),
        ("LRN", ["x"], {"size": 3, "alpha": 0.5}),
        ("Resize", ["x", "", "scales"], {"mode": "linear"}),
        ("Resize", ["x", "", "scales"], {"mode": "cubic"}),
        ("Resize", ["x", "", "wide"], {"mode": "nearest", "nearest_mode": "floor"}),
        ("Pad", ["x", "around"], {"mode": "reflect"}),
        ("Pad", ["x", "around"], {"mode": "edge"}),
        ("Pad", ["x", "around", "one"], {}),
        ("Slice", ["x", "starts", "ends", "axes", "steps"], {}),
        ("Gather", ["x", "rows"], {"axis": 2}),
        ("Transpose", ["x"], {"perm": [3, 0, 2, 1]}),
        ("Reshape", ["x", "flat"], {}),
        ("Concat", ["x", "x"], {"axis": 1}),
        ("Concat", ["x", "x"], {"axis": 2}),
        ("Concat", ["x", "x"], {"axis": 3}),
        ("SpaceToDepth", ["even"], {"blocksize": 2}),
        ("Add", ["x", "one"], {}),
        ("Mul", ["x", "channel"], {}),
        ("Sub", ["x", "column"], {}),
        ("Div", ["one", "positive"], {}),
        ("Max", ["x", "row"], {}),
        ("Min", ["row", "x"], {}),
        ("Pow", ["positive", "one"], {}),
        ("PRelu", ["x", "channel"], {}),
        ("Where", ["equal", "x", "row"], {}),
        ("Mul", ["x", "mean"], {}),
        ("MatMul", ["x", "right"], {}),
        ("MatMul", ["x", "turned"], {}),
        ("MatMul", ["channels", "x"], {}),
        ("Gemm", ["flattened", "flattened", "one"], {"transB": 1, "alpha": 0.5}),
        ("Erf", ["x"], {}),
        ("Sin", ["x"], {}),
        ("Cos", ["x"], {}),
        ("Sign", ["x"], {}),
        ("Abs", ["x"], {}),
        ("Log", ["positive"], {}),
        ("Sqrt", ["positive"], {}),
        ("Reciprocal", ["positive"], {}),
        ("Exp", ["x"], {}),
        ("Tanh", ["x"], {}),
        ("Clip", ["x"], {}),
        ("HardSigmoid", ["x"], {"alpha": 0.3, "beta": 0.4}),
        ("Selu", ["x"], {"gamma": 1.5}),
        ("Celu", ["x"], {"alpha": 0.5}),
        ("ThresholdedRelu", ["x"], {"alpha": 0.3}),
        ("Softsign", ["x"], {}),
        ("LpNormalization", ["x"], {"axis": 1}),
        ("LpNormalization", ["x"], {"axis": -1, "p": 1}),
        ("ReduceL1", ["x"], {"axes": [1]}),
        ("ReduceL2", ["x"], {"axes": [2, 3], "keepdims": 0}),
        ("ReduceSumSquare", ["x"], {"axes": [3]}),
        ("ReduceLogSumExp", ["x"], {"axes": [1, 2]}),
        ("Where", ["between", "x", "row"], {}),
        ("GatherElements", ["x", "elements"], {"axis": 2}),
        ("GatherND", ["x", "tuples"], {}),
        ("ScatterND", ["x", "tuples", "updates"], {}),
        ("InstanceNormalization", ["x", "scale6", "bias6"], {}),
        ("LayerNormalization", ["x", "scale11", "bias11"], {}),
    ]
    whole |= {"scale6": weights(6, 1)[:, 0], "bias6": weights(6, 1)[:, 0]}
    whole |= {"scale11": weights(11, 1)[:, 0], "bias11": weights(11, 1)[:, 0]}
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Add", ["square", "one"], ["positive"]),
        helper.make_node("Slice", ["x", "first", "last"], ["even"]),
        helper.make_node("Round", ["column"], ["rounded"]),
        helper.make_node("Relu", ["x"], ["relu"]),
        helper.make_node("Equal", ["relu", "x"], ["equal"]),
        helper.make_node("GreaterOrEqual", ["x", "half"], ["above"]),
        helper.make_node("LessOrEqual", ["x", "one"], ["below"]),
        helper.make_node("And", ["above", "below"], ["both"]),
        helper.make_node("Xor", ["both", "equal"], ["either"]),
        helper.make_node("Not", ["either"], ["neither"]),
        helper.make_node("Or", ["neither", "both"], ["between"]),
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Reshape", ["x", "groups"], ["grouped"]),
        helper.make_node("Transpose", ["grouped"], ["swapped"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["swapped", "joined"], ["shuffled"]),
        helper.make_node("Gemm", ["flattened", "mul"], ["product"]),
        helper.make_node("Flatten", ["x"], ["flattened"]),
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 1, 3, 2]),
        helper.make_node("ReduceMean", ["turned"], ["channels"], axes=[1]),
    ]
    whole |= {"first": np.array([0, 0, 0, 0]), "last": np.array([1, 6, 8, 10])}
    nodes += [
        helper.make_node(kind, inputs, [f"y{k}"], **attributes) for k, (kind, inputs, attributes) in enumerate(rows)
    ]
    return nodes, whole


@pytest.mark.parametrize("method", ["simple", "unrolled"])
def test_convolutions_of_every_geometry(method: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    nodes, constants = convolutions()
    outputs = [node.output[0] for node in nodes if node.output[0][0] in "yu"]
    inputs = {"x": (1, 6, 9, 11), "z": (1, 4, 40)}
    path = save(make_model(nodes, inputs, outputs, constants, opset=18), tmp_path / "convolutions.onnx")
    compare(path, inputs, Plan.uniform([n.node_id for n in read_model(path).convolutions], ConvolutionOptions(method)))


def test_steps_that_are_no_convolutions(tmp_path: Path) -> None:
    nodes, constants = others()
    outputs = [name for node in nodes for name in node.output if name[0] == "y" or name in ("shuffled", "product")]
    order = sorted(nodes, key=lambda node: node.op_type == "Gemm")
    path = save(make_model(order, {"x": (1, 6, 9, 11)}, outputs, constants, opset=17), tmp_path / "others.onnx")
    compare(
        path,
        {"x": (1, 6, 9, 11)},
        Plan.uniform([n.node_id for n in read_model(path).convolutions], ConvolutionOptions("unrolled")),
    )


def test_places_of_extremes(tmp_path: Path) -> None:
    """Of every axis, the first and the last of equals, in each order of memory; they come out as floats."""
    nodes = [helper.make_node("Concat", ["x", "x"], ["twice"], axis=1)]
    for axis in range(4):
        for kind in ("ArgMax", "ArgMin"):
            for last in (0, 1):
                name = f"{kind}{axis}{last}"
                fields = {"axis": axis, "select_last_index": last, "keepdims": last}
                nodes.append(helper.make_node(kind, ["twice"], [f"{name}_place"], **fields))
                nodes.append(helper.make_node("Cast", [f"{name}_place"], [name], to=1))
    outputs = [node.output[0] for node in nodes if node.op_type == "Cast"]
    path = save(make_model(nodes, {"x": (1, 6, 9, 11)}, outputs), tmp_path / "places.onnx")
    compare(path, {"x": (1, 6, 9, 11)}, Plan(()))


def compare(path: Path, inputs: dict[str, tuple[int, ...]], plan: Plan) -> None:
    values = {name: np.random.default_rng(3).normal(size=shape).astype(np.float32) for name, shape in inputs.items()}
    wanted = runtime_outputs(path, values)
    found = deploy.predict_all(read_model(path), values, deploy.RunSettings(plan, threads=2), check=True)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape, name
        np.testing.assert_allclose(found[name], array, rtol=2e-4, atol=2e-5 * np.abs(array).max(), err_msg=name)
