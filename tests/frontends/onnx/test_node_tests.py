"""The node tests that the onnx package ships, for every operator that is read: each passes or is refused."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.base import read_model
from ellopt.frontends.onnx.operators.table import OPERATORS
from ellopt.model import reference

KINDS = {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
#: Inputs from the second on are weights or numbers of these; in the tests they are inputs of the graph.
WEIGHTED = (
    *("Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "LayerNormalization"),
    *("Gemm", "MatMul", "Clip", "Upsample", "Resize", "Pad", "Reshape"),
)


def cases() -> list[Any]:
    """Those whose inputs are of float32, truth values or whole numbers, which become constants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    known = OPERATORS.keys()
    return [c for c in found if {node.op_type for node in c.model.graph.node} <= known and usable(c)]


def usable(case: Any) -> bool:
    kinds = [value.type.tensor_type.elem_type for value in case.model.graph.input]
    arrays = all(isinstance(values, np.ndarray) for values in case.data_sets[0][0])
    return arrays and set(kinds) <= KINDS and TensorProto.FLOAT in kinds


def outcome(case: Any, path: Path, weighted: Collection[str] = WEIGHTED) -> str:
    """passed, refused or wrong. ``weighted``: the operators whose second inputs are made constants."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs, outputs = case.data_sets[0]
    given = dict(zip((value.name for value in model.graph.input), inputs, strict=True))
    for k, (name, values) in enumerate(given.items()):
        if np.asarray(values).dtype != np.float32 or (k and model.graph.node[0].op_type in weighted):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    path.write_bytes(model.SerializeToString())
    try:
        read = read_model(path)
    except ModelFormatError as error:
        return "refused" if str(error).startswith(f"{path}: ") else "wrong"
    values = np.concatenate([np.asarray(given[port.name], np.float32).reshape(-1) for port in read.inputs])
    found = reference.predict(read, values)
    for port, wanted in zip(read.outputs, map(np.asarray, outputs), strict=True):
        part = found[port.offset : port.offset + port.elements].reshape(port.shape)
        if port.shape != wanted.shape or not np.allclose(
            part, wanted, rtol=case.rtol, atol=max(1e-6, case.atol), equal_nan=True
        ):
            return "wrong"
    return "passed"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("nodes") / "node.onnx"
    return {case.name: outcome(case, path) for case in cases()}


def test_none_is_wrong(outcomes: dict[str, str]) -> None:
    assert [name for name, found in outcomes.items() if found == "wrong"] == []


def test_most_pass_and_the_counts_are_those_of_the_documentation(outcomes: dict[str, str]) -> None:
    counts = Counter(outcomes.values())
    assert counts["passed"] >= 360
    assert counts["refused"] <= 60


def test_products_of_computed_matrices(tmp_path: Path) -> None:
    found = {
        case.name: outcome(case, tmp_path / "node.onnx", ())
        for case in cases()
        if case.model.graph.node[0].op_type in ("MatMul", "Gemm")
    }
    assert len(found) > 10
    assert {name for name, what in found.items() if what != "passed"} == set()
