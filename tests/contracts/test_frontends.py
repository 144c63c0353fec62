"""What every format of the registry does, by the smallest file of each of its endings in ``tests/data``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest

from ellopt.core.errors import ModelFormatError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends.base import FRONTENDS, read_model, tuned_suffix
from ellopt.frontends.discover import discover, tuned_model
from ellopt.model import reference
from ellopt.select.confirm import write_model
from ellopt.targets import find_target
from tests.support.paths import DATA

ENDINGS = [(row, ending) for row in FRONTENDS for ending in row.suffixes]
SIMPLE = ConvolutionOptions("simple")


@pytest.fixture(params=ENDINGS, ids=lambda param: param[1])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model's file by itself in a folder."""
    _, ending = request.param
    found = [path for path in DATA.rglob("*") if path.name.endswith(ending) and path.parent in (DATA, DATA / "onnx")]
    whole = min(found, key=lambda path: path.stat().st_size)
    place = tmp_path / "models" / f"small{ending}"
    place.parent.mkdir()
    copyfile(whole, place)
    return place


def test_it_is_found_and_named_by_its_ending(file: Path) -> None:
    (found,) = discover(file.parent)
    assert (found.path, found.name, found.tag) == (file, "small", "small")


def test_it_reads_as_a_model_whose_nodes_follow_what_they_read(file: Path) -> None:
    model = read_model(file)
    assert (model.path, model.name) == (file, "small")
    assert model.source.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert model.convolutions
    known: set[str] = set()
    for node in model.nodes:
        assert set(node.inputs) <= known
        known.add(node.node_id)
    assert model.input in model.nodes
    assert model.output is model.nodes[-1]


def test_the_tuned_model_is_the_same_with_its_options(file: Path, tmp_path: Path) -> None:
    model = read_model(file)
    plan = Plan.uniform([layer.node_id for layer in model.convolutions], SIMPLE)
    written = write_model(tmp_path, model, "small", plan, plan, find_target("host"))
    assert written.model.endswith(tuned_suffix(model))
    (tmp_path / "tuning_report.json").write_text("{}")
    again = read_model(tuned_model(tmp_path))
    assert dict(again.options) == dict(plan)
    assert [type(node) for node in again.nodes] == [type(node) for node in model.nodes]
    values = np.random.default_rng(1).normal(size=model.input.output_layout.size).astype(np.float32)
    assert np.array_equal(reference.predict(again, values), reference.predict(model, values))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.98])
def test_a_file_that_was_cut_off_is_named(file: Path, share: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelFormatError, match=str(file)):
        read_model(file)
