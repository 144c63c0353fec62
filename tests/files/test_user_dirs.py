"""Where a user's files are, on each platform, and that no other module decides it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ellopt
from ellopt.files import user_dirs

HOME = Path("/home/someone")
VARIABLES = ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA")
PLACES: dict[str, tuple[str, str, str, str]] = {
    "linux": (".cache/ellopt", ".local/state/ellopt", ".config/ellopt", ".cache/zig"),
    "darwin": ("Library/Caches/ellopt", "Library/Application Support/ellopt", ".config/ellopt", ".cache/zig"),
    "win32": ("AppData/Local/ellopt", "AppData/Local/ellopt", "AppData/Roaming/ellopt", "AppData/Local/zig"),
}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: HOME)
    for name in (*VARIABLES, "ELLOPT_CACHE", "ELLOPT_STORE", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return HOME


@pytest.mark.parametrize("platform", PLACES)
def test_files_are_where_the_platform_keeps_them(platform: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    found = (
        user_dirs.cache_directory(),
        user_dirs.state_directory(),
        user_dirs.config_directory(),
        user_dirs.zig_cache(),
    )
    assert tuple(path.relative_to(home).as_posix() for path in found) == PLACES[platform]
    assert user_dirs.measurements_path() == user_dirs.cache_directory() / "measurements.sqlite"


@pytest.mark.parametrize(
    ("name", "function", "below"),
    [
        ("XDG_CACHE_HOME", user_dirs.cache_directory, "ellopt"),
        ("ELLOPT_CACHE", user_dirs.cache_directory, ""),
        ("XDG_STATE_HOME", user_dirs.state_directory, "ellopt"),
        ("XDG_CONFIG_HOME", user_dirs.config_directory, "ellopt"),
        ("ELLOPT_STORE", user_dirs.measurements_path, ""),
        ("ZIG_GLOBAL_CACHE_DIR", user_dirs.zig_cache, ""),
    ],
)
def test_the_environment_has_the_last_word(
    name: str, function: Callable[[], Path], below: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv(name, str(tmp_path))
    assert function() == tmp_path / below


def test_a_home_of_ones_own_leaves_what_is_said(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": "/elsewhere"}
    user_dirs.put_below(tmp_path, environment)
    assert environment == {
        "XDG_CACHE_HOME": str(tmp_path / ".cache"),
        "XDG_STATE_HOME": "/elsewhere",
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
    }


def test_no_other_module_reads_these_variables() -> None:
    package = Path(ellopt.__file__).parent
    for path in package.rglob("*.py"):
        if path == package / "files" / "user_dirs.py":
            continue
        constants = {
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
        }
        assert not constants & {*VARIABLES, "ELLOPT_CACHE", "ELLOPT_STORE", "ZIG_GLOBAL_CACHE_DIR"}, path
