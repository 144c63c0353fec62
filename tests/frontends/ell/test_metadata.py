"""Compile options in a node's metadata, as ELL writes them."""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ModelFormatError
from ellopt.core.options import ConvolutionOptions
from ellopt.frontends.ell.archive import read_archive, write_archive
from ellopt.frontends.ell.format import archive_of
from ellopt.frontends.ell.metadata import own_options, read_options, with_options
from ellopt.frontends.ell.read import read_model

Json = dict[str, Any]

#: What ``tiny16_options.ell`` was compiled with.
CHOSEN = {
    "1034": ConvolutionOptions("winograd", False, 2, 4, 8),
    "1038": ConvolutionOptions("simple", False),
    "1041": ConvolutionOptions("unrolled", True),
}


def comparable(data: Any, shift: int) -> Any:
    """A map with ids moved by ``shift`` and property lists sorted; fields become lists so that order counts."""
    if isinstance(data, dict):
        entries = []
        for key, value in data.items():
            if key in ("id", "nodeId"):
                value = str(int(value) + shift)
            elif key in ("input", "inputIds", "outputElements") and not isinstance(value, dict):
                value = json.loads(re.sub(r"\b(1\d{3})\b", lambda m: str(int(m[1]) + shift), json.dumps(value)))
            elif key == "data" and data.get("_type") == "PropertyBag":
                value = sorted(value, key=lambda entry: entry["k"])
            entries.append((key, comparable(value, shift)))
        return entries
    return [comparable(item, shift) for item in data] if isinstance(data, list) else data


def test_options_stand_exactly_as_ell_writes_them(shared_samples: Path, tiny_path: Path) -> None:
    """All of the file, not the options alone: ELL renumbers the nodes and lists properties in hash order."""
    ells = read_archive(shared_samples / "tiny16_options.ell")
    ours = with_options(read_archive(tiny_path), {key: options.to_ell() for key, options in CHOSEN.items()}, {})
    assert comparable(ours.data, 16) == comparable(ells.data, 0)


def test_ells_own_file_is_read_back(shared_samples: Path) -> None:
    model = read_model(shared_samples / "tiny16_options.ell")
    assert dict(model.options) == {str(int(key) + 16): options for key, options in CHOSEN.items()}


def test_the_original_archive_stays_as_it_is_and_weights_are_shared(tiny_path: Path) -> None:
    archive = read_archive(tiny_path)
    before = copy.deepcopy(archive.data)
    changed = with_options(archive, {"1034": {"preferredConvolutionMethod": "simple"}}, {})
    assert archive.data == before
    assert changed.data != before
    assert changed.nodes[2]["layer"] is archive.nodes[2]["layer"]
    assert changed.nodes[3] is archive.nodes[3]


def test_other_metadata_is_kept_and_older_options_are_replaced(tiny_path: Path) -> None:
    first = with_options(
        read_archive(tiny_path), {"1034": CHOSEN["1034"].to_ell()}, {"1034": own_options(CHOSEN["1034"])}
    )
    second = with_options(first, {"1034": CHOSEN["1038"].to_ell()}, {})
    data = second.nodes[2]["metadata"]["data"]
    assert sorted(entry["k"] for entry in data) == ["GroupId", "ancestor", "compileOptions", "name"]
    assert read_options(second) == {"1034": ConvolutionOptions("simple")}
    third = with_options(second, {"1034": {}}, {})
    assert read_options(third) == {}
    assert third.nodes == read_archive(tiny_path).nodes


def strip_metadata(node: Json) -> Json:
    return {key: value for key, value in node.items() if key != "metadata"}


@pytest.mark.parametrize(
    ("node_id", "before", "after"), [("1032", "2", "3"), ("1033", "0", "3"), ("1034", "5", "5"), ("1047", "2", "2")]
)
def test_a_node_that_gains_metadata_gains_its_version(
    tiny: Json, write_model: Callable[[Any], Path], node_id: str, before: str, after: str
) -> None:
    nodes = [strip_metadata(node) for node in tiny["model"]["nodes"]]
    for node in nodes:
        if node["id"] == node_id:
            node["_version"] = before
    tiny["model"]["nodes"] = nodes
    changed = with_options(read_archive(write_model(tiny)), {}, {node_id: {"convolution": "simple"}})
    node = next(n for n in changed.nodes if n["id"] == node_id)
    assert node["_version"] == after
    assert list(node)[:4] == ["_type", "_version", "id", "metadata"]
    assert strip_metadata({**node, "_version": before}) == next(n for n in nodes if n["id"] == node_id)


def test_our_own_key_wins_and_ells_stays_beside_it(tiny_path: Path, tmp_path: Path) -> None:
    own = ConvolutionOptions("winograd", True, 0, 2, 4, winograd_tile_size=4)
    archive = with_options(
        read_archive(tiny_path), {"1034": ConvolutionOptions("unrolled").to_ell()}, {"1034": own_options(own)}
    )
    write_archive(archive, tmp_path / "m.ell")
    again = read_archive(tmp_path / "m.ell")
    assert read_options(again) == {"1034": own}
    assert dict(read_model(tmp_path / "m.ell").options) == {"1034": own}
    bags = {entry["k"]: entry["v"] for entry in again.nodes[2]["metadata"]["data"]}
    assert bags["ellopt"]["type"] == bags["compileOptions"]["type"] == "PropertyBag"
    texts = bags["compileOptions"]["value"]["data"]
    assert {t["k"]: t["v"]["value"] for t in texts} == {
        "preferredConvolutionMethod": "unrolled",
        "parallelize": "false",
    }


def test_a_depthwise_layer_never_carries_winograd_for_ell(shared_models: Path) -> None:
    model = read_model(shared_models / "layers" / "dw_3x3.ell")
    (layer,) = model.convolutions
    winograd = ConvolutionOptions("winograd", False, 4)
    with pytest.raises(ValueError, match="depthwise"):
        with_options(archive_of(model), {layer.node_id: winograd.to_ell()}, {})
    allowed = with_options(
        archive_of(model),
        {layer.node_id: {"preferredConvolutionMethod": "simple"}},
        {layer.node_id: own_options(winograd)},
    )
    assert read_options(allowed) == {layer.node_id: winograd}


def test_a_node_that_does_not_exist_is_refused(tiny_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such node.*77"):
        with_options(read_archive(tiny_path), {"77": {}}, {})


def test_methods_that_ellopt_does_not_know_are_passed_over(
    tiny_path: Path, write_model: Callable[[Any], Path], caplog: pytest.LogCaptureFixture
) -> None:
    options = {"1034": {"preferredConvolutionMethod": "auto"}, "1041": {"preferredConvolutionMethod": "winograd"}}
    archive = with_options(read_archive(tiny_path), options, {})
    with caplog.at_level(logging.WARNING):
        model = read_model(write_model(json.dumps(archive.data)))
    assert dict(model.options) == {}
    assert "node 1034" in caplog.text
    assert "node 1041: winograd does not apply" in caplog.text


@pytest.mark.parametrize(
    ("ell", "own", "says"),
    [
        ({"preferredConvolutionMethod": "simple", "parallelize": "maybe"}, {}, "parallelize is 'maybe'"),
        ({"preferredConvolutionMethod": "winograd", "separableBlockDepth": "deep"}, {}, "separableBlockDepth"),
        ({}, {"convolution": "winograd q9"}, "'q9' is unknown"),
    ],
)
def test_options_that_cannot_be_read_are_refused_by_node(tiny_path: Path, ell: Json, own: Json, says: str) -> None:
    archive = with_options(read_archive(tiny_path), {"1034": ell}, {"1034": own})
    with pytest.raises(ModelFormatError, match=says) as raised:
        read_options(archive)
    assert "node 1034" in str(raised.value)


DEPTHS = st.integers(0, 64)
OPTIONS = st.one_of(
    st.builds(ConvolutionOptions, st.sampled_from(["simple", "unrolled"]), st.booleans()),
    st.builds(
        ConvolutionOptions,
        st.just("winograd"),
        st.booleans(),
        DEPTHS,
        DEPTHS,
        DEPTHS,
        st.sampled_from([2, 4, 6]),
        st.sampled_from(["", "m6n16"]),
    ),
)


@settings(max_examples=30, deadline=None)
@given(options=OPTIONS)
def test_our_own_options_come_back_whole(tiny_path: Path, options: ConvolutionOptions) -> None:
    archive = with_options(read_archive(tiny_path), {}, {"1034": own_options(options)})
    assert read_options(archive) == {"1034": options}
