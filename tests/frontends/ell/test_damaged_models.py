"""Whatever is done to a model file, reading it gives a model or one clear error."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.read import read_model
from ellopt.model import reference
from ellopt.model.describe import describe, format_table
from ellopt.model.graph import Model
from tests.support.ell_archives import predictor_map

Place = tuple[Any, str | int]

OTHER_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([10**6, 2**31, 2**63 - 1, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(["1034.output", "1047.output[0:3]", "{1.output, 2.output}", "Map", "std::string", "PropertyBag"]),
    st.sampled_from(
        ["PoolingLayerNode<float,MeanPoolingFunction>", "ReinterpretLayoutNode<float>", "ConstantNode<float>"]
    ),
    st.lists(st.integers(-1, 20), max_size=4),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.just({}),
    st.just([{}]),
    st.just({"_type": "InputPort<float>", "input": "1032.output"}),
)


def places(value: Any) -> list[Place]:
    """Every field and list item within a JSON value; of long lists of numbers only the first."""
    found: list[Place] = []
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if isinstance(value, list) and len(value) > 20 and not isinstance(value[0], dict):
        keys = range(1)
    for key in keys:
        found += [(value, key), *places(value[key])]
    return found


def read(path: Path) -> Model | str:
    try:
        return read_model(path)
    except ModelFormatError as error:
        return str(error)


def check(path: Path) -> Model | None:
    """The model, or None if it was refused with a message of one line that names the file."""
    model = read(path)
    if isinstance(model, str):
        assert str(path) in model
        assert "\n" not in model
        return None
    assert format_table(describe(model))
    if sum(node.output_layout.elements for node in model.nodes) < 100_000:
        with np.errstate(all="ignore"):
            reference.run(model, np.zeros(model.input.output_layout.size, np.float32))
    return model


@pytest.mark.parametrize("kind", ["layers", "predictor"])
def test_changed_fields(tiny_path: Path, tmp_path: Path, kind: str) -> None:
    base = json.loads(tiny_path.read_text()) if kind == "layers" else predictor_map(0.5, 1)
    path = tmp_path / "m.ell"
    survivors = 0

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        nonlocal survivors
        changed = copy.deepcopy(base)
        for _ in range(data.draw(st.integers(1, 3))):
            owner, key = data.draw(st.sampled_from(places(changed)))
            if data.draw(st.booleans()):
                del owner[key]
            else:
                owner[key] = copy.deepcopy(data.draw(OTHER_VALUES))
            if not changed:
                break
        path.write_text(json.dumps(changed))
        survivors += check(path) is not None

    run()
    assert survivors > 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes(tiny_path: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(json.dumps(json.loads(tiny_path.read_text())).encode())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 5))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "m.ell"
    path.write_bytes(content)
    check(path)
