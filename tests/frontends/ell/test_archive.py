"""The archive: what is written equals what was read."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.archive import read_archive, write_archive


def load_ordered(content: str | bytes) -> Any:
    """JSON in which the order of fields and the kind of numbers count."""
    return json.loads(content, object_pairs_hook=tuple, parse_int=lambda text: ("int", int(text)))


def original(path: Path) -> bytes:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(archive.namelist()[0])
    return path.read_bytes()


def test_all_models_round_trip_value_for_value_and_in_order(shared_models: Path, tmp_path: Path) -> None:
    files = sorted([*shared_models.rglob("*.ell"), *shared_models.rglob("*.ell.zip")])
    assert len(files) >= 20
    for file in files:
        written = tmp_path / "written.ell"
        write_archive(read_archive(file), written)
        assert load_ordered(written.read_bytes()) == load_ordered(original(file)), file.name


def test_unknown_fields_survive(tiny: dict[str, Any], write_model: Callable[[Any], Path], tmp_path: Path) -> None:
    tiny["model"]["nodes"][2]["layer"]["novelty"] = {"b": 1, "a": [1.5, None, "é"]}
    tiny["zz"] = True
    path = write_model(tiny)
    write_archive(read_archive(path), tmp_path / "out.ell")
    assert load_ordered((tmp_path / "out.ell").read_bytes()) == load_ordered(path.read_bytes())


def test_writing_replaces_the_file_at_once_or_not_at_all(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "deep" / "m.ell"
    archive = read_archive(tiny_path)
    write_archive(archive, target)
    before = target.read_bytes()

    def refuse(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_archive(archive, target)
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["m.ell"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("[1, 2", "line 1: not valid JSON"),
        ('{"_type": "Map",\n "model": {"_type": "Mod', "line 2: not valid JSON"),
        ('{"_type": "Map", "w": [1, nan]}', "nan is not a finite number"),
        ('{"_type": "Map", "w": [1,-nan]}', "nan is not a finite number"),
        ('{"_type": "Map", "w": [inf]}', "inf is not a finite number"),
        ('{"_type": "Map", "w": [1, -inf, 2]}', "inf is not a finite number"),
        ('{"_type": "Map", "w": [1e999]}', "not a finite number"),
        ("[1, 2]", "not an ELL map"),
        ('"Map"', "not an ELL map"),
        ('{"_type": "Model"}', "not an ELL map"),
        ('{"_type": "Map"}', "holds no model"),
        ('{"_type": "Map", "model": {"_type": "Dog"}}', "holds no model"),
        ('{"_type": "Map", "model": {"_type": "Model"}}', "no list of nodes"),
        ('{"_type": "Map", "model": {"_type": "Model", "nodes": [1]}}', "no list of nodes"),
        ("[" * 50, "not valid JSON"),
        ("[" * 5000, "nested 5000 deep"),
        ("[" + "[]," * 1_000_000 + "1]", "objects and lists"),
    ],
)
def test_what_is_no_map_is_refused_by_name(write_model: Callable[[Any], Path], content: str, says: str) -> None:
    path = write_model(content)
    with pytest.raises(ModelFormatError, match=says) as raised:
        read_archive(path)
    assert str(path) in str(raised.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.ell"
    path.write_bytes(b'{"_type": "\xff\xfe"}')
    with pytest.raises(ModelFormatError, match="not valid JSON"):
        read_archive(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot be read"):
        read_archive(tmp_path / "none.ell")
