"""A tuned file says for which sizes of its inputs it was tuned, so that nobody has to say it again."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ModelFormatError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends.base import read_model, write_model
from tests.support.onnx_models import convolution_model, save

SIZES = st.tuples(st.just(1), st.just(3), st.integers(5, 12), st.integers(5, 12))


def tuned(path: Path, shape: tuple[int, ...] | None) -> Path:
    """The file that a tuning for ``shape`` writes."""
    model = read_model(path, {} if shape is None else {"x": shape})
    plan = Plan.of({node.node_id: ConvolutionOptions("unrolled") for node in model.convolutions})
    written = path.with_name("tuned.onnx")
    write_model(model, written, plan, {}, {})
    return written


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SIZES, SIZES)
def test_a_tuned_file_is_read_for_the_sizes_that_it_was_tuned_for(
    tmp_path: Path, shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    path = save(convolution_model((1, 3, "height", "width")), tmp_path / "net.onnx")
    with pytest.raises(ModelFormatError, match="which is not fixed; say which one is meant"):
        read_model(path)
    written = tuned(path, shape)
    assert read_model(written).inputs[0].shape == shape
    assert read_model(written, {"x": other}).inputs[0].shape == other, "what is asked for goes before"
    assert read_model(tuned(written, other)).inputs[0].shape == other, "tuned again, for other sizes"


def test_a_file_that_says_its_sizes_itself_is_left_alone(tmp_path: Path) -> None:
    path = save(convolution_model((1, 3, 8, 8)), tmp_path / "net.onnx")
    assert not onnx.load(tuned(path, None)).metadata_props


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(max_value=0) | st.text(max_size=3),
    lambda x: st.lists(x, max_size=4),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=9) | st.dictionaries(st.sampled_from(["x", "y"]), JSON).map(json.dumps) | JSON.map(json.dumps))
def test_what_is_no_shape_is_passed_over(tmp_path: Path, text: str) -> None:
    path = save(convolution_model((1, 3, 8, 8)), tmp_path / "net.onnx")
    message = onnx.load(path)
    message.metadata_props.add(key="ellopt.input_shapes", value=text)
    assert read_model(save(message, path)).inputs[0].shape == (1, 3, 8, 8)
