"""What is published: a wheel with all that the package reads, sources whose tests run, a page for an index."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

BUILD = "import sys; from setuptools import build_meta as b; [_, to] = sys.argv; b.build_wheel(to); b.build_sdist(to)"
LEFT_OUT = (
    ".git",
    "__pycache__",
    "*.egg-info",
    "mlruns",
    "out",
    "build",
    "dist",
    "site",
    "output",
    ".*_cache",
    ".venv",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built of a copy."""
    place = tmp_path_factory.mktemp("built")
    shutil.copytree(REPOSITORY, place / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT))
    command = [sys.executable, "-c", BUILD, str(place)]
    done = subprocess.run(command, cwd=place / "tree", capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return place


def files(root: Path) -> set[str]:
    """What a user of git would see below a folder, by paths that begin with its name."""
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(root.parent).as_posix()) for path in found}


def test_the_wheel_has_every_file_of_the_package(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = files(built / "tree" / "ellopt")
    spaces = {f"ellopt/{name}" for name in files(built / "tree" / "search_spaces") if name.endswith(".json")}
    assert package <= names
    assert spaces <= names
    assert {"ellopt/samples/shapes64.ell.zip", "ellopt/samples/labels.txt", "ellopt/py.typed"} <= names
    assert {name.split("/")[0] for name in names - package} <= {"ellopt", wheel.name.rsplit("-", 3)[0] + ".dist-info"}


def test_the_page_for_an_index_has_nothing_that_only_the_repository_has(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        head, _, page = archive.read(name).decode("utf-8").partition("\n\n")
    for line in ("Author: The ellopt authors", "License-Expression: MIT", "Classifier: Typing :: Typed"):
        assert line in head.splitlines()
    assert "Keywords: " in head
    assert "## Quick start" in page
    assert "](https://optuna.org)" in page
    assert re.findall(r"\]\((?!https://)[^)]*\)", page) == []
    assert "![" not in page


def test_the_tests_of_the_source_distribution_run(built: Path, tmp_path: Path) -> None:
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    [root] = tmp_path.iterdir()
    for folder in ("benchmarks", "docs", "ellopt", "experiments", "search_spaces", "tests"):
        assert {f"{root.name}/{name}" for name in files(built / "tree" / folder)} <= files(root), folder
    for name in (
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "MLproject",
        "python_env.yaml",
        "conda.yaml",
        "profile_and_optimize.py",
    ):
        assert (root / name).is_file()
    chosen = ("tests/space/test_budget.py", "tests/docs/test_packages.py")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-q",
        *(test for test in chosen if (REPOSITORY / test).exists()),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:]
