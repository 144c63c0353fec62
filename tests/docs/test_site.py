"""The site of the guide: every public name and every page is in it. The project's check builds it, strictly."""

from __future__ import annotations

import re
import runpy
from types import SimpleNamespace

import pytest

import ellopt
from tests.support.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
CONFIGURATION = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
ON_SITE = runpy.run_path(str(DOCS / "site_hooks.py"))["on_page_markdown"]


def test_every_public_name_is_explained() -> None:
    api = (DOCS / "api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^::: [\w.]+\.(\w+)$", api, re.MULTILINE))
    errors = {name for name in ellopt.__all__ if name.endswith("Error")}
    assert "::: ellopt.core.errors\n" in api
    assert set(ellopt.__all__) - errors <= told


def test_every_page_has_its_place() -> None:
    assert sorted(re.findall(r"([\w/-]+\.md)$", CONFIGURATION, re.MULTILINE)) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_site_leads_nowhere_outside(name: str) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri=name))
    shown = ON_SITE((DOCS / name).read_text(encoding="utf-8"), page=page)
    assert not re.search(r"^```console .", shown, re.MULTILINE)
    for target in re.findall(
        r"(?<!!)\[[^\]]*\]\((?!https?:|#)([^)\s#]+)", re.sub(r"^```.*?^```", "", shown, flags=re.M | re.S)
    ):
        assert (DOCS / name).parent.joinpath(target).resolve().is_relative_to(DOCS), target
