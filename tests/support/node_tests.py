"""The node tests that the ``onnx`` package ships, what becomes of each, and the table of the documentation.

``python -m tests.support.node_tests`` writes the table anew.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.base import read_model
from ellopt.frontends.onnx.operators.table import OPERATORS
from ellopt.model import reference
from tests.support.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "onnx-operators.md"
HEAD = "| operator | attributes | passed | refused | why |\n|---|---|---|---|---|\n"
KINDS = {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
#: Inputs from the second on are weights or numbers of these; in the tests they are inputs of the graph.
WEIGHTED = (
    *("Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "LayerNormalization"),
    *("GroupNormalization", "RMSNormalization"),
    *("Gemm", "MatMul", "Clip", "Upsample", "Resize", "Pad", "Reshape"),
)


def cases() -> list[Any]:
    """Those whose inputs are of float32, truth values or whole numbers, which become constants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    known = OPERATORS.keys()
    return [
        c for c in found if c.model is not None and {node.op_type for node in c.model.graph.node} <= known and usable(c)
    ]


def usable(case: Any) -> bool:
    kinds = [value.type.tensor_type.elem_type for value in case.model.graph.input]
    arrays = all(isinstance(values, (np.ndarray, np.generic)) for values in case.data_sets[0][0])
    return arrays and set(kinds) <= KINDS and TensorProto.FLOAT in kinds


def outcome(case: Any, path: Path, weighted: Collection[str] = WEIGHTED) -> str:
    """ "passed", "wrong", or why it is refused. ``weighted``: the operators whose second inputs are made constants."""
    assert case.model is not None
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
        return _reason(str(error).removeprefix(f"{path}: ")) if str(error).startswith(f"{path}: ") else "wrong"
    values = np.concatenate([np.asarray(given[port.name], np.float32).reshape(-1) for port in read.inputs])
    found = reference.predict(read, values)
    for port, wanted in zip(read.outputs, map(np.asarray, outputs), strict=True):
        part = found[port.offset : port.offset + port.elements].reshape(port.shape)
        if port.shape != wanted.shape or not np.allclose(
            part, wanted, rtol=case.rtol, atol=max(1e-6, case.atol), equal_nan=True
        ):
            return "wrong"
    return "passed"


def _reason(text: str) -> str:
    """What is said of a refused model without its nodes and numbers."""
    text = re.sub(r" \(\d+ nodes?: .*", "", text.removeprefix("cannot be tuned: "))
    if "is not fixed" in text:
        return "a size that is not fixed"
    if "cannot be computed of what it reads" in text:
        return "shapes that do not go together"
    return text.partition(";")[0]


def own_operator(case: Any) -> str:
    """The operator that a test is of."""
    kinds = [node.op_type for node in case.model.graph.node]
    name = case.name.removeprefix("test_").replace("_", "")
    named = [kind for kind in kinds if name.startswith(kind.lower())]
    return str(max(named, key=len) if named else kinds[-1])


def table(outcomes: Mapping[str, tuple[str, str]]) -> str:
    """The table, a row an operator. ``outcomes``: the operator and the outcome of each test, by its name."""
    rows = []
    for kind in sorted(OPERATORS):
        found = Counter(outcome for own, outcome in outcomes.values() if own == kind)
        passed = found.pop("passed", 0)
        attributes = ", ".join(f"`{name}`" for name in sorted(onnx.defs.get_schema(kind).attributes))
        why = "; ".join(sorted(found))
        rows.append(f"| {kind} | {attributes} | {passed} | {sum(found.values()) or ''} | {why} |\n")
    return HEAD + "".join(rows)


def all_outcomes(path: Path) -> dict[str, tuple[str, str]]:
    """The operator and the outcome of each test, by its name; models are written to ``path``."""
    return {case.name: (own_operator(case), outcome(case, path)) for case in cases()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = table(all_outcomes(Path(folder, "node.onnx")))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text[: text.index(HEAD)] + made, encoding="utf-8")


if __name__ == "__main__":
    main()
