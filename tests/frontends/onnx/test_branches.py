"""An ``If`` whose condition is known takes its branch; other control flow is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ellopt.core.errors import ModelFormatError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends.base import read_model, write_model
from ellopt.model import reference
from tests.support.onnx_models import make_model, runtime_outputs, save, with_external_weights

X = np.random.default_rng(1).normal(size=(1, 4, 6, 5)).astype(np.float32)
WEIGHTS = np.random.default_rng(2).normal(size=(3, 4, 1, 1)).astype(np.float32)


def branch(name: str, nodes: list[Any], output: str, weights: np.ndarray | None = None) -> Any:
    tensors = [] if weights is None else [numpy_helper.from_array(weights, "w")]
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], tensors)


def squeezes(axis: int) -> list[Any]:
    """What PyTorch's exporter makes of ``squeeze(axis)`` where it does not know the shape."""
    return [
        helper.make_node("Shape", ["p"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["size"]),
        helper.make_node("Equal", ["size", "one"], ["is_one"]),
        helper.make_node(
            "If", ["is_one"], ["y"],
            then_branch=branch("t", [helper.make_node("Squeeze", ["p", "axis"], ["inner"])], "inner"),
            else_branch=branch("e", [helper.make_node("Identity", ["p"], ["inner"])], "inner"),
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(("axis", "shape"), [(1, (1, 4, 1, 1)), (3, (1, 4, 1))])
def test_a_condition_of_shapes_is_known(axis: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), *squeezes(axis)]
    constants = {"axis": np.array([axis]), "one": np.array([1])}
    path = save(make_model(nodes, {"x": ("n", "c", "h", "w")}, ["y"], constants), tmp_path / "m.onnx")
    model = read_model(path, {"x": X.shape})
    assert model.outputs[0].shape == shape
    found = reference.predict(model, X.reshape(-1)).reshape(shape)
    np.testing.assert_allclose(found, runtime_outputs(path, {"x": X})["y"], rtol=1e-5)


def nested(flags: tuple[bool, bool]) -> Any:
    """Two nodes with branches that use the same names; one has another within it, and a convolution there."""
    convolves = [
        helper.make_node("Conv", ["t", "w"], ["inner"], name="deep"),
        helper.make_node("Relu", ["inner"], ["r"]),
    ]
    within = helper.make_node(
        "If", ["flag1"], ["z"],
        then_branch=branch("t2", convolves, "r", WEIGHTS),
        else_branch=branch("e2", [helper.make_node("Neg", ["t"], ["r"])], "r"),
    )  # fmt: skip
    nodes = []
    for source, output in (("x", "m"), ("m", "y")):
        then = [helper.make_node("Abs", [source], ["t"]), *([within] if source == "x" else [])]
        nodes.append(
            helper.make_node(
                "If",
                ["flag0"],
                [output],
                then_branch=branch("t1", then, "z" if source == "x" else "t"),
                else_branch=branch("e1", [helper.make_node("Exp", [source], ["t"])], "t"),
            )
        )
    constants = {f"flag{k}": np.array(flag) for k, flag in enumerate(flags)}
    return make_model(nodes, {"x": X.shape}, ["y"], constants)


@pytest.mark.parametrize("flags", [(True, True), (True, False), (False, True)])
def test_branches_may_use_the_same_names_and_have_branches(flags: tuple[bool, bool], tmp_path: Path) -> None:
    path = save(nested(flags), tmp_path / "m.onnx")
    wanted = runtime_outputs(path, {"x": X})["y"]
    model = read_model(path)
    assert len(model.convolutions) == all(flags)
    np.testing.assert_allclose(reference.predict(model, X.reshape(-1)).reshape(wanted.shape), wanted, rtol=1e-4)


def test_options_go_to_the_node_in_its_branch(tmp_path: Path) -> None:
    model = read_model(save(nested((True, True)), tmp_path / "m.onnx"))
    [convolution] = model.convolutions
    plan = Plan.of({convolution.node_id: ConvolutionOptions("simple")})
    write_model(model, tmp_path / "tuned.onnx", plan, {}, {})
    assert read_model(tmp_path / "tuned.onnx").options == plan
    written = onnx.load(tmp_path / "tuned.onnx").graph.node[0].attribute
    [then] = [a.g for a in written if a.name == "then_branch"]
    [within] = [a.g for a in then.node[1].attribute if a.name == "then_branch"]
    assert within.node[0].name == "deep"
    assert within.node[0].metadata_props
    runtime_outputs(tmp_path / "tuned.onnx", {"x": X})


def test_weights_of_a_branch_may_lie_in_a_file(tmp_path: Path) -> None:
    whole = nested((True, True))
    then = next(a.g for a in whole.graph.node[0].attribute if a.name == "then_branch")
    within = next(a.g for a in then.node[1].attribute if a.name == "then_branch")
    inner = onnx.ModelProto()
    inner.graph.CopyFrom(within)
    with_external_weights(inner, tmp_path / "part", "weights.bin")
    within.CopyFrom(onnx.load(tmp_path / "part", load_external_data=False).graph)
    path = save(whole, tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError, match=r"its weights are in the file weights\.bin"):
        read_model(path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    np.testing.assert_array_equal(read_model(path).convolutions[0].weights, WEIGHTS.transpose(0, 2, 3, 1))


def test_a_condition_that_is_computed_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node(
            "If", ["c"], ["y"], name="which",
            then_branch=branch("t", [helper.make_node("Abs", ["x"], ["a"])], "a"),
            else_branch=branch("e", [helper.make_node("Neg", ["x"], ["a"])], "a"),
        ),
    ]  # fmt: skip
    path = save(make_model(nodes, {"x": X.shape}, ["y"], {"zero": np.float32(0)}), tmp_path / "m.onnx")
    with pytest.raises(
        ModelFormatError, match=r"the operator If is not supported: control flow .* \(1 node: node 2 which"
    ):
        read_model(path)
