"""Whether models compute the same is decided by every bit of them, and by nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends.base import write_model
from ellopt.frontends.ell.read import read_model
from ellopt.model.layers import Node
from ellopt.model.same import same_computation
from tests.support.paths import TINY

MODEL = read_model(TINY)


def test_a_model_that_is_read_again_or_written_with_options_is_the_same(tmp_path: Path) -> None:
    plan = Plan.of({node.node_id: ConvolutionOptions("simple", True) for node in MODEL.convolutions})
    write_model(MODEL, tmp_path / "written.ell", plan, {n: {"preferredConvolutionMethod": "simple"} for n in plan}, {})
    assert same_computation(MODEL, read_model(TINY))
    written = read_model(tmp_path / "written.ell")
    assert written.options != MODEL.options
    assert same_computation(MODEL, written)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_one_bit_of_one_node_makes_another_model(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(MODEL.nodes) - 1))
    node = MODEL.nodes[at]
    changeable = [p.name for p in fields(node) if isinstance(getattr(node, p.name), (np.ndarray, float, str, tuple))]
    name = data.draw(st.sampled_from(changeable))
    nodes = (*MODEL.nodes[:at], _changed(node, name, data), *MODEL.nodes[at + 1 :])
    assert not same_computation(MODEL, replace(MODEL, nodes=nodes))
    assert not same_computation(MODEL, replace(MODEL, nodes=(*MODEL.nodes[:-2], MODEL.nodes[-1])))


def _changed(node: Node, name: str, data: st.DataObject) -> Node:
    value = getattr(node, name)
    if isinstance(value, np.ndarray) and value.size:
        bits = np.frombuffer(bytearray(value.tobytes()), np.uint8)
        bits[data.draw(st.integers(0, bits.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed = np.frombuffer(bits.tobytes(), value.dtype).reshape(value.shape)
        return replace(node, **{name: changed})
    return replace(node, **{name: {float: 0.1, str: "another"}.get(type(value), ("another",))})
