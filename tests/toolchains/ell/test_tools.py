"""Finding ELL's tools, and what is said when they are not there."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from ellopt.core.errors import ConfigurationError
from ellopt.toolchains.ell.tools import find_tools

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are scripts here")


def program(path: Path, text: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build tree with compile and print alone, on a machine without LLVM."""
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("compile", "print"):
        program(tmp_path / "build" / "bin" / name)
    return tmp_path / "build"


def test_the_build_tree_says_where_llvm_is(standin_root: Path) -> None:
    tools = find_tools(None, standin_root)
    assert tools.compile == standin_root / "bin" / "compile"
    assert tools.print == standin_root / "bin" / "print"
    assert tools.opt == standin_root / "llvm" / "opt"
    assert tools.optimises


def test_the_source_tree_leads_to_the_build_tree(root: Path) -> None:
    assert find_tools(root.parent, None).compile == root / "bin" / "compile"


def test_llvm_is_taken_from_the_path_otherwise(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("opt", "llc"):
        program(root.parent / "llvm" / name)
    monkeypatch.setenv("PATH", str(root.parent / "llvm"))
    assert find_tools(None, root).llc == root.parent / "llvm" / "llc"


def test_without_llvm_there_is_one_form(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not find_tools(None, root).optimises
    assert "no opt and llc" in caplog.text


def test_llvm_that_does_not_run_is_not_used(root: Path) -> None:
    broken = program(root / "llc", "exit 127")
    opt = program(root / "opt")
    (root / "ell_build_tools.json").write_text(json.dumps({"opt": str(opt), "llc": str(broken)}))
    assert not find_tools(None, root).optimises


def test_openblas_is_where_the_build_says(root: Path) -> None:
    library = root / "libopenblas.so"
    library.touch()
    (root / "ell_build_tools.json").write_text(json.dumps({"blas": str(library)}))
    assert find_tools(None, root).blas == library


@pytest.mark.parametrize("folder", [".", "build", "build/bin", "models/deep/down"])
def test_the_build_tree_is_searched_upwards(folder: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "ell_build_tools.json").write_text("{}")
    (root.parent / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(root.parent / folder)
    assert find_tools(None, None).compile == root / "bin" / "compile"


@pytest.mark.parametrize("named", ["--ell_root", "--ell_build_root"])
def test_a_build_tree_that_is_named_comes_first(
    named: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "ell_build_tools.json").write_text("{}")
    other = tmp_path / "other" / "build"
    for name in ("compile", "print"):
        program(other / "bin" / name)
    monkeypatch.chdir(root)
    found = find_tools(other.parent, None) if named == "--ell_root" else find_tools(None, other)
    assert found.compile == other / "bin" / "compile"


def test_a_build_tree_of_another_user_is_passed_over(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "ell_build_tools.json").write_text("{}")
    if os.getuid() == 0:
        os.chown(root, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.chdir(root.parent)
    with pytest.raises(ConfigurationError, match="work inside ELL's tree"):
        find_tools(None, None)
    assert f"{root} is passed over: it belongs to another user" in caplog.text


def test_no_build_tree_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"--ell_build_root or set ELL_BUILD_ROOT"):
        find_tools(None, None)
    with pytest.raises(ConfigurationError, match=r"no directory .*nowhere"):
        find_tools(None, Path("nowhere"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "print")
    with pytest.raises(ConfigurationError, match=r"no bin/compile: build ELL there"):
        find_tools(None, tmp_path)
    (tmp_path / "bin" / "print").unlink()
    with pytest.raises(ConfigurationError, match=r"no bin/compile and no bin/print"):
        find_tools(None, tmp_path)


def test_a_program_that_does_not_run_is_named(root: Path) -> None:
    program(root / "bin" / "print", "echo 'libLLVM.so: cannot open shared object file' >&2; exit 127")
    with pytest.raises(
        ConfigurationError, match=r"bin/print does not run here: exit code 127 \(libLLVM.so: cannot open"
    ):
        find_tools(None, root)
    (root / "bin" / "print").write_bytes(b"\x7fELF nothing")
    with pytest.raises(ConfigurationError, match="cannot start"):
        find_tools(None, root)


def test_a_damaged_tools_file_is_named(root: Path) -> None:
    (root / "ell_build_tools.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"ell_build_tools.json: cannot be read"):
        find_tools(None, root)
