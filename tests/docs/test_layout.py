"""The pages for developers name files that are there, and a plan walks as the layout says."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from ellopt.cli.main import main
from tests.support.paths import REPOSITORY, TINY

NAMED = re.compile(r"`((?:[\w*]+/)*[\w*]+(?:\.(?:py|md|[ch]|json|html|toml)|/)|(?:[\w*]+/)+)`")


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs" / "developing").glob("*.md")), ids=lambda page: page.stem)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert named
    for name in named:
        roots = (
            REPOSITORY,
            REPOSITORY / "ellopt",
            *(path for path in (REPOSITORY / "ellopt").rglob("*") if path.is_dir()),
        )
        assert any(list(root.glob(name)) for root in roots), f"{page.name} names {name}, which is not there"


PACKAGE = REPOSITORY / "ellopt"
LAYOUT = (REPOSITORY / "docs" / "developing" / "layout.md").read_text(encoding="utf-8")
WALK = [(file, name) for file, name in re.findall(r"^\d+\. `([\w/]+\.py)`: `([\w.]+)`", LAYOUT, re.M)]


@contextmanager
def first_calls() -> Iterator[list[tuple[str, str]]]:
    """Functions of the package in the order in which they are first called, in whatever thread: (file, name)."""
    found: list[tuple[str, str]] = []
    known: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            call = (code.co_filename[len(str(PACKAGE)) + 1 :], code.co_qualname)
            if call not in known:
                known.add(call)
                found.append(call)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def test_a_plan_walks_as_the_layout_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = tmp_path / "options.json"
    options.write_text(
        '{"convolution_methods": ["simple", "unrolled"], "parallel": [false], "winograd_parameters": [4]}'
    )
    command = [
        "optimize",
        "--model_path",
        str(TINY),
        "--target",
        "host",
        "-o",
        str(tmp_path / "out"),
        "--options",
        str(options),
    ]
    with first_calls() as calls:
        assert main([*command, "--no_mlflow", "--no_warm_start", "--sampler", "grid"]) == 0
    assert len(WALK) >= 19
    assert [call for call in calls if call in WALK] == WALK
