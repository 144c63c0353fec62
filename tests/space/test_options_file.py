"""compile_options.json and compile_switches.txt: the original's form, ours beside it, mistakes named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends.ell.read import read_model
from ellopt.space.options_file import (
    compile_options_json,
    compile_switches,
    options_from,
    options_to,
    plan_for,
    read_compile_options,
)
from ellopt.space.space import SearchSpace
from tests.support.paths import TINY

WINOGRAD = ConvolutionOptions("winograd", False, 2, 8, 8)


def test_the_originals_file_reads_and_writes_the_same(shared_samples: Path) -> None:
    sample = shared_samples / "original_output_cnn64"
    options = read_compile_options(sample / "compile_options.json")
    assert options["1124"] == WINOGRAD
    assert options["1120"] == ConvolutionOptions("unrolled")
    plan = Plan.of(options)
    assert json.loads(compile_options_json(plan)) == json.loads((sample / "compile_options.json").read_text())
    switches = compile_switches(plan, "models/cnn64.ell", "out2/cnn64", "host")
    assert switches == (sample / "compile_switches.txt").read_text().strip()


def test_depths_on_other_methods_mean_nothing() -> None:
    """Files of the original carry them on unrolled layers."""
    values = {"preferredConvolutionMethod": "unrolled", "parallelize": "true", "separableBlockDepth": 6}
    assert options_from(values) == ConvolutionOptions("unrolled", parallelize=True)


options = st.one_of(
    st.builds(ConvolutionOptions, st.sampled_from(["simple", "unrolled"]), st.booleans()),
    st.builds(
        ConvolutionOptions,
        st.just("winograd"),
        st.booleans(),
        *[st.sampled_from([0, 1, 2, 8, 16])] * 3,
        st.sampled_from([2, 4, 6]),
        st.sampled_from(["", "8x2"]),
    ),
)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"nodes": ' * 5000, "[" + "[]," * 1_100_000 + "1]", "{" + '"a":1,' * 3]
)
@pytest.mark.parametrize("read", [read_compile_options, SearchSpace.load])
def test_whatever_an_options_file_holds_the_answer_is_one_line(
    tmp_path: Path, text: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "o.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"^[^\n]{1,300}$") as raised:
        read(path)
    assert str(path) in str(raised.value)


@given(options, options)
def test_our_choice_survives_beside_any_of_ells(own: ConvolutionOptions, ell: ConvolutionOptions) -> None:
    values = json.loads(json.dumps(options_to(own, ell)))
    assert options_from(values) == own
    values.pop("ellopt", None)
    assert values == ell.to_ell()


def test_our_key_is_written_only_where_it_says_more() -> None:
    assert "ellopt" not in options_to(WINOGRAD, WINOGRAD)
    assert options_to(WINOGRAD, ELL_DEFAULT)["ellopt"] == "winograd s2 f8 c8"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "cannot be read"),
        ("[]", "nodes"),
        ('{"nodes": {}, "more": 1}', "nodes"),
        ('{"nodes": {"1034": 3}}', "1034"),
        ('{"nodes": {"9999": {}}}', "9999"),
        ('{"nodes": {"1034": {"method": "simple"}}}', "'method'"),
        ('{"nodes": {"1034": {"preferredConvolutionMethod": "diagonal"}}}', "diagonal"),
        ('{"nodes": {"1034": {"preferredConvolutionMethod": 3}}}', "preferredConvolutionMethod"),
        ('{"nodes": {"1034": {"parallelize": "yes"}}}', "yes"),
        ('{"nodes": {"1034": {"parallelize": 1}}}', "parallelize"),
        ('{"nodes": {"1034": {"separableBlockDepth": -1}}}', "separableBlockDepth"),
        ('{"nodes": {"1034": {"separableBlockDepth": true}}}', "separableBlockDepth"),
        ('{"nodes": {"1034": {"ellopt": "winograd x3"}}}', "x3"),
        ('{"nodes": {"1034": {"ellopt": 3}}}', "ellopt"),
    ],
)
def test_a_mistake_is_named_with_its_file(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "compile_options.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        plan_for(read_model(TINY), path)
    assert str(path) in str(raised.value)
    assert named in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_compile_options(tmp_path / "nowhere.json")


def test_layers_that_nobody_mentions_have_ells_default(tmp_path: Path) -> None:
    model = read_model(TINY)
    first, *rest = (node.node_id for node in model.convolutions)
    path = tmp_path / "compile_options.json"
    path.write_text(compile_options_json(Plan.of({first: WINOGRAD})))
    assert plan_for(model, path) == Plan.of({first: WINOGRAD, **dict.fromkeys(rest, ELL_DEFAULT)})
    assert plan_for(model) == Plan.uniform([first, *rest], ELL_DEFAULT)


def test_the_options_in_a_model_are_its_plan(shared_samples: Path) -> None:
    model = read_model(shared_samples / "tiny16_options.ell")
    assert [str(o) for o in plan_for(model).values()] == ["winograd s2 f4 c8", "simple", "unrolled parallel"]
