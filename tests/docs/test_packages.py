"""What the environment of ``mlflow run`` installs is what the package says that it needs, in the same bounds."""

from __future__ import annotations

import platform
import re
import tomllib

from mlflow.projects._project_spec import load_project
from mlflow.utils.environment import _PythonEnv
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.support.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def bounds(requirements: list[str]) -> dict[str, tuple[SpecifierSet, str]]:
    """Name -> versions and marker."""
    parsed = [Requirement(text) for text in requirements]
    assert len({one.name.lower() for one in parsed}) == len(parsed), "a package is named twice"
    return {one.name.lower(): (one.specifier, str(one.marker)) for one in parsed}


def test_mlflow_installs_what_the_package_needs() -> None:
    project = load_project(str(REPOSITORY))
    assert project.env_type == "python_env"
    environment = _PythonEnv.from_yaml(project.env_config_path)
    assert bounds(environment.dependencies) == bounds(PROJECT["dependencies"])


def test_python_is_the_one_that_mlflow_runs_on() -> None:
    """Another version would have to be fetched, or compiled."""
    environment = _PythonEnv.from_yaml(REPOSITORY / "python_env.yaml")
    assert environment.python == platform.python_version()


def test_conda_installs_the_same() -> None:
    """``conda.yaml`` is for who makes an environment of conda's; ``mlflow run`` does not read it."""
    text = (REPOSITORY / "conda.yaml").read_text(encoding="utf-8")
    [python] = re.findall(r"^  - python=([\d.]+)$", text, re.MULTILINE)
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert bounds(re.findall(r"^      - (.*?)\s*$", text, re.MULTILINE)) == bounds(PROJECT["dependencies"])
    project = (REPOSITORY / "MLproject").read_text(encoding="utf-8")
    assert re.findall(r"^(?:conda_env|python_env|docker_env): *(.*)$", project, re.MULTILINE) == ["python_env.yaml"]
