"""The page about the layout names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs" / "developing").glob("*.md")), ids=lambda page: page.stem)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:[\w*]+/)*[\w*]+(?:\.\w+|/)|(?:[\w*]+/)+)`", page.read_text(encoding="utf-8"))
    assert named
    for name in named:
        roots = (
            REPOSITORY,
            REPOSITORY / "ellopt",
            *(path for path in (REPOSITORY / "ellopt").rglob("*") if path.is_dir()),
        )
        assert any(list(root.glob(name)) for root in roots), f"{page.name} names {name}, which is not there"
