"""Sizes that generated code or a board cannot hold are refused at reading, before memory is asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from tests.support import ell_archives as build


def read(path: Path) -> Model | str:
    try:
        return read_model(path)
    except ModelFormatError as error:
        return str(error)


INT_MAX = 2**31 - 1
SIZES = st.one_of(
    st.integers(1, 40), st.sampled_from([2**k + d for k in (14, 15, 16, 28, 31, 32, 63) for d in (-1, 1)])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(SIZES, SIZES, SIZES),
    pooling=SIZES,
    stride=SIZES,
    copies=st.integers(1, 12),
)
def test_no_size_overflows_an_int(
    tmp_path: Path, shape: tuple[int, int, int], pooling: int, stride: int, copies: int
) -> None:
    """Whatever the sizes are: a small model is read, another is refused in one line, and neither costs memory."""
    rows, columns, channels = shape
    pooled = build.layout((-(-rows // stride), -(-columns // stride), channels))
    nodes = [build.input_node("1", shape)]
    nodes += [
        build.reorder_node(str(n), str(n - 1), build.layout(shape), build.layout(shape)) for n in range(2, copies)
    ]
    last = nodes[-1]["id"]
    fields = {"poolingSize": pooling, "stride": stride}
    layer = build.layer_node("Pooling", "p", last, build.layout(shape), pooled, fields, variant="MaxPoolingFunction")
    nodes += [layer, build.output_node("o", "p", pooled)]
    path = build.write_map(tmp_path / "m.ell", nodes)
    tracemalloc.start()
    try:
        answer = read(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    if isinstance(answer, str):
        assert str(path) in answer
        assert "\n" not in answer
    else:
        assert all(node.output_layout.elements * 4 <= INT_MAX for node in answer.nodes)
        assert pooling**2 <= INT_MAX
        assert sum(node.output_layout.elements for node in answer.nodes) <= 1 << 31


def test_many_large_buffers_are_refused_together(tmp_path: Path) -> None:
    shape = (1 << 14, 1 << 14, 1)
    nodes = [build.input_node("1", shape)]
    nodes += [build.reorder_node(str(n), str(n - 1), build.layout(shape), build.layout(shape)) for n in range(2, 20)]
    path = build.write_map(tmp_path / "m.ell", [*nodes, build.output_node("o", "19", build.layout(shape))])
    with pytest.raises(ModelFormatError, match=r"node 9 .* elements together"):
        read_model(path)
