"""Toolchains are rows: one can be deleted, and another one added, without touching anything else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ellopt
from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import OwnGroups
from ellopt.targets import find_target
from ellopt.toolchains.registry import make_toolchain
from ellopt.toolchains.settings import BuildSettings
from tests.support.paths import REPOSITORY, TINY

IMPORT_ALL = """
import importlib, pkgutil, ellopt
for module in pkgutil.walk_packages(ellopt.__path__, "ellopt."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(ellopt.__file__)
"""


def test_a_toolchain_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"--toolchain: 'gcc' is unknown; use one of native, ell"):
        make_toolchain(BuildSettings("gcc"), OwnGroups(), find_target("host"))


def test_ells_toolchain_is_a_folder_and_a_row(tmp_path: Path) -> None:
    package = tmp_path / "ellopt"
    shutil.copytree(Path(ellopt.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "search_spaces", tmp_path / "search_spaces")
    shutil.rmtree(package / "toolchains" / "ell")
    registry = package / "toolchains" / "registry.py"
    lines = registry.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = [line for line in lines if "toolchains.ell" in line]
    assert len(rows) == 1
    registry.write_text("".join(line for line in lines if line not in rows), encoding="utf-8")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run("-c", IMPORT_ALL).strip()) == package / "__init__.py"
    assert "usage: ellopt" in run("-m", "ellopt", "--help")
    helped = run("-m", "ellopt", "optimize", "--help")
    assert "--parallel_build" in helped
    assert "--ell_root" not in helped
    run(
        "-m", "ellopt", "optimize", "--model_path", str(TINY), "--target", "host", "--toolchain", "native",
        "--options", "quick", "--sampler", "grid", "--no_mlflow", "--no_warm_start", "-o", "out",
    )  # fmt: skip
    report = json.loads((tmp_path / "out" / "tiny16" / "tuning_report.json").read_text(encoding="utf-8"))
    assert report["toolchain"] == "native"
    assert len(report["layers"]) == 3
