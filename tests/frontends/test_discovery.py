"""Which model files are found, and under which tags."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from ellopt.core.errors import ConfigurationError
from ellopt.frontends.base import SUFFIXES
from ellopt.frontends.discover import discover


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def test_folders_are_searched_and_equal_names_get_distinct_tags(tmp_path: Path) -> None:
    touch(tmp_path, "a/net.ell", "b/net.ell.zip", "b/c/Net.ell", "zoo.ell", "notes.txt", "net_1.ell", "x.zip")
    found = discover(tmp_path)
    assert [f.path.relative_to(tmp_path).as_posix() for f in found] == [
        "net_1.ell",
        "zoo.ell",
        "a/net.ell",
        "b/net.ell.zip",
        "b/c/Net.ell",
    ]
    assert [f.name for f in found] == ["net_1", "zoo", "net", "net", "Net"]
    assert [f.tag for f in found] == ["net_1", "zoo", "net", "net_2", "Net_3"]
    assert discover(tmp_path) == found


def test_names_pick_models_without_changing_their_tags(tmp_path: Path) -> None:
    touch(tmp_path, "a/net.ell", "b/net.ell", "zoo.ell")
    assert [f.tag for f in discover(tmp_path, ["net"])] == ["net", "net_1"]
    assert [f.tag for f in discover(tmp_path, ["zoo.ell", "net"])] == ["zoo", "net", "net_1"]


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    touch(tmp_path, "tutorial.ell", "zoo.ell")
    with pytest.raises(ConfigurationError, match=r"'tutorail'.*did you mean tutorial"):
        discover(tmp_path, ["zoo", "tutorail"])
    with pytest.raises(ConfigurationError, match=r"there are: tutorial, zoo"):
        discover(tmp_path, ["qqq"])


def test_a_single_file_is_a_model_too(tmp_path: Path) -> None:
    touch(tmp_path, "one.ell.zip", "other.json")
    (file,) = discover(tmp_path / "one.ell.zip")
    assert (file.name, file.tag) == ("one", "one")
    with pytest.raises(ConfigurationError, match=re.escape(f"is no model file ({SUFFIXES})")):
        discover(tmp_path / "other.json")


def test_nothing_to_find_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"no model files ({SUFFIXES})")):
        discover(tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist"):
        discover(tmp_path / "none")


def test_what_ellopt_wrote_is_passed_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "net.ell", "out/net/net_options.ell", "out/net/tuning_report.json", "mine_options.ell")
    with caplog.at_level(logging.INFO):
        found = discover(tmp_path)
    assert [f.name for f in found] == ["mine_options", "net"]
    assert "net_options.ell was written by ellopt" in caplog.text
    (own,) = discover(tmp_path / "out/net/net_options.ell")
    assert own.name == "net_options"
