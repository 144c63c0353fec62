"""Where this platform keeps a user's files: the one module that says so. Nothing is made here."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

#: The variable that says where files of a kind are, and where they are below the home directory without it.
_XDG = {
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "state": ("XDG_STATE_HOME", ".local/state"),
    "config": ("XDG_CONFIG_HOME", ".config"),
}
_WINDOWS = {
    "cache": ("LOCALAPPDATA", "AppData/Local"),
    "state": ("LOCALAPPDATA", "AppData/Local"),
    "config": ("APPDATA", "AppData/Roaming"),
}
_DARWIN = {"cache": "Library/Caches", "state": "Library/Application Support"}


def cache_directory() -> Path:
    """What can be made again: ``ELLOPT_CACHE``, or a directory in the user's cache."""
    given = os.environ.get("ELLOPT_CACHE")
    return Path(given) if given else _base("cache") / "ellopt"


def state_directory() -> Path:
    """What ellopt must remember between runs."""
    return _base("state") / "ellopt"


def config_directory() -> Path:
    """What the user has agreed to."""
    return _base("config") / "ellopt"


def measurements_path() -> Path:
    """The file of measurements that ``ELLOPT_STORE`` names, or the one in the cache: a database's URL names no file."""
    given = os.environ.get("ELLOPT_STORE", "")
    return Path(given) if given and not measurements_url() else cache_directory() / "measurements.sqlite"


def measurements_url() -> str:
    """The URL of the database that ``ELLOPT_STORE`` names; empty where it names a file, or nothing."""
    given = os.environ.get("ELLOPT_STORE", "")
    return given if "://" in given else ""


def zig_cache() -> Path:
    """Where zig keeps what it has compiled; it asks for XDG's variable on macOS too."""
    given = os.environ.get("ZIG_GLOBAL_CACHE_DIR")
    return Path(given) if given else _place(*(_WINDOWS if sys.platform == "win32" else _XDG)["cache"]) / "zig"


def put_below(home: Path, environment: MutableMapping[str, str]) -> None:
    """Let files of each kind that the environment gives no place to be kept below ``home``."""
    for variable, folder in _XDG.values():
        if not environment.get(variable):
            environment[variable] = str(home / folder)


def _base(kind: str) -> Path:
    if sys.platform == "win32":
        return _place(*_WINDOWS[kind])
    if sys.platform == "darwin" and kind in _DARWIN:
        return Path.home() / _DARWIN[kind]
    return _place(*_XDG[kind])


def _place(variable: str, below_home: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / below_home)
