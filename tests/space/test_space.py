"""Options files, and what they leave to try on a layer."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.errors import ConfigurationError
from ellopt.core.methods import method_names
from ellopt.core.options import ConvolutionOptions
from ellopt.space.space import SearchSpace, find_options_file, narrow, simplicity
from tests.support.pretend import SMALL, TARGET, PretendToolchain, layers, shape

DEFAULT = {
    "convolution_methods": ["simple", "unrolled", "winograd"],
    "parallel": [True, False],
    "winograd_parameters": [1, 2, 4, 6, 8, 16],
}


def load(tmp_path: Path, data: Any) -> SearchSpace:
    path = tmp_path / "space.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return SearchSpace.load(path)


def test_default_space_has_the_original_combinations() -> None:
    space = SearchSpace.load(find_options_file("default"))
    assert len(list(space.combinations())) == 2 * 2 + 2 * 6**3 == 436
    assert space.winograd_tile_sizes == (2,)
    assert space.blockings(("", "strassen")) == ("",)


@pytest.mark.parametrize("name", ["default", "quick", "extended", "default.json", "search_spaces/quick.json"])
def test_bundled_spaces_are_found_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space = SearchSpace.load(find_options_file(name))
    assert set(space.convolution_methods) == set(method_names())


def test_a_file_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"--options: .*defalt.*did you mean default.*quick"):
        find_options_file("defalt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"winograd_parameter": [1]}, r"space.json: unknown key 'winograd_parameter' \(did you mean winograd_par"),
        ({"convolution_methods": ["wingrad"]}, r'convolution_methods: unknown value "wingrad" \(did you mean winograd'),
        ({"convolution_methods": "simple"}, r"convolution_methods is \"simple\": it must be a list"),
        ({"convolution_methods": []}, r"convolution_methods is \[\]"),
        ({"parallel": ["true"]}, r'parallel: unknown value "true"; use true, false'),
        ({"parallel": [1]}, r"parallel: unknown value 1; use true, false"),
        ({"winograd_parameters": [1.5]}, r"winograd_parameters: wrong value 1.5"),
        ({"winograd_parameters": [True]}, r"winograd_parameters: wrong value true"),
        ({"winograd_parameters": [-1]}, r"winograd_parameters: wrong value -1"),
        ({"winograd_parameters": []}, r"winograd_parameters is \[\]"),
        ({"winograd_tile_sizes": [7]}, r"winograd_tile_sizes: unknown value 7; use 2"),
        ({"gemm_blockings": "some"}, r'gemm_blockings is "some"'),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path, {**DEFAULT, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the JSON is wrong"),
        ("[]", "holds a JSON object"),
        ('{"parallel": [true], "parallel": [false]}', "'parallel' stands there twice"),
        ('{"parallel": [true]}', "'convolution_methods' is missing"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"space.json: .*{message}"):
        load(tmp_path, text)


def test_depths_are_not_needed_without_winograd(tmp_path: Path) -> None:
    space = load(tmp_path, {**DEFAULT, "convolution_methods": ["simple"], "winograd_parameters": []})
    assert [str(o) for o in space.combinations()] == ["simple parallel", "simple"]


def test_an_unknown_blocking_is_named_by_what_the_toolchain_offers(tmp_path: Path) -> None:
    space = load(tmp_path, {**DEFAULT, "gemm_blockings": ["default", "strasen"]})
    with pytest.raises(ConfigurationError, match=r"'strasen' \(did you mean strassen.*offers default, strassen"):
        space.blockings(("", "strassen"))
    assert space.blockings(("",)) == ("",)


def test_blockings_are_combined_with_unrolled(tmp_path: Path) -> None:
    space = load(tmp_path, {**DEFAULT, "winograd_parameters": [0], "parallel": [False], "gemm_blockings": "all"})
    found = {str(o) for o in space.combinations(space.blockings(("", "strassen")))}
    assert found == {"simple", "unrolled", "unrolled gstrassen", "winograd"}


def test_narrowing_counts_and_removes_what_is_not_valid_or_not_distinct() -> None:
    toolchain = PretendToolchain(layers(shape(3, 16), shape(8, 16, field=1), shape(8, 8, depthwise=True)))
    space = SearchSpace("some.json", method_names(), (False,), (1, 2, 4, 6, 8, 16))
    narrowed = narrow(space, toolchain.model_layers, toolchain, TARGET)
    assert narrowed.original_combinations == 2 + 6**3
    assert narrowed.valid == 218 + 2 + 218
    full, pointwise, depthwise = narrowed.layers
    # filters up to 16: six depths; channels up to 3: 1, 2 and 3
    assert len(full.variants) == 2 + 6 * 3
    assert [str(o) for o in pointwise.variants] == ["simple", "unrolled"]
    assert len(depthwise.variants) == 2 + 6
    assert narrowed.distinct == 20 + 2 + 8
    assert narrowed.report().distinct_by_layer == {"1000": 20, "1001": 2, "1002": 8}


def test_variants_are_simple_first() -> None:
    toolchain = PretendToolchain()
    space = SearchSpace("some.json", method_names(), (True, False), (1, 2))
    variants = narrow(space, SMALL, toolchain, TARGET).layers[0].variants
    assert [str(o) for o in variants[:2]] == ["simple", "unrolled"]
    assert not any(a.parallelize and not b.parallelize for a, b in pairwise(variants))
    assert list(variants) == sorted(variants, key=simplicity)


def test_a_layer_on_which_nothing_is_valid_keeps_the_default() -> None:
    toolchain = PretendToolchain(layers(shape(8, 8, field=1)))
    space = SearchSpace("some.json", ("winograd",), (True,), (1,))
    narrowed = narrow(space, toolchain.model_layers, toolchain, TARGET)
    assert narrowed.valid == 0
    assert narrowed.layers[0].variants == (ConvolutionOptions("unrolled"),)


def test_layers_of_equal_shape_are_together_and_other_epilogues_are_not() -> None:
    toolchain = PretendToolchain(layers(shape(), shape(epilogue="relu"), shape()))
    space = narrow(SearchSpace("some.json", method_names(), (False,), (1,)), toolchain.model_layers, toolchain, TARGET)
    assert [[layer.node_id for layer in group] for group in space.by_shape.values()] == [["1000", "1002"], ["1001"]]


@given(
    methods=st.lists(st.sampled_from(method_names()), min_size=1, unique=True),
    parallel=st.lists(st.booleans(), min_size=1, unique=True),
    depths=st.lists(st.integers(0, 20), min_size=1, max_size=3, unique=True),
)
def test_covering_plans_hold_every_variant_and_the_default_in_the_fewest_plans(
    methods: list[str], parallel: list[bool], depths: list[int]
) -> None:
    toolchain = PretendToolchain()
    space = narrow(SearchSpace("some.json", tuple(methods), tuple(parallel), tuple(depths)), SMALL, toolchain, TARGET)
    plans = space.covering_plans()
    for layer in space.layers:
        wanted = {*layer.variants, layer.default}
        assert {plan[layer.node_id] for plan in plans} == wanted
        assert len(plans) >= len(wanted)
    assert len(plans) == max(len({*layer.variants, layer.default}) for layer in space.layers)
