"""What conda's environment installs is what the package says that it needs, in the same bounds."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.support.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: A list item of the only kinds that the files have: a text, or the key of another list.
ITEM = re.compile(r"^( *)- (.*?)\s*$", re.MULTILINE)


def bounds(requirements: list[str]) -> dict[str, tuple[SpecifierSet, str]]:
    """Name -> versions and marker."""
    parsed = [Requirement(text) for text in requirements]
    assert len({one.name.lower() for one in parsed}) == len(parsed), "a package is named twice"
    return {one.name.lower(): (one.specifier, str(one.marker)) for one in parsed}


def environment(name: str) -> tuple[str, list[str]]:
    """The version of Python in a file of conda's or MLflow's, and what pip is to install there."""
    items = ITEM.findall((REPOSITORY / name).read_text(encoding="utf-8"))
    [python] = [found[1] for _, text in items if (found := re.fullmatch(r"python=+([\d.]+)", text))]
    [begin] = [place for place, (_, text) in enumerate(items) if text == "pip:"]
    return python, [text for indent, text in items[begin + 1 :] if len(indent) > len(items[begin][0])]


def test_conda_installs_what_the_package_needs() -> None:
    _, listed = environment("conda.yaml")
    assert bounds(listed) == bounds(PROJECT["dependencies"])


def test_condas_python_is_one_that_the_package_runs_on() -> None:
    python, _ = environment("conda.yaml")
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0" if python.count(".") == 1 else python)


def test_mlflow_finds_no_other_list_of_packages() -> None:
    """One list besides the package's own is enough to keep in step."""
    project = (REPOSITORY / "MLproject").read_text(encoding="utf-8")
    assert re.findall(r"^(?:conda_env|python_env|docker_env): *(.*)$", project, re.MULTILINE) == ["conda.yaml"]
    assert not (REPOSITORY / "python_env.yaml").exists()
