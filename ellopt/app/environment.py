"""The environment of a run, for its report. Nothing here is secret."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("mlflow", "numpy", "optuna", "ziglang")


def now() -> str:
    """This moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(board: str, threads: int) -> Mapping[str, str]:
    """Facts that explain a measurement: the board and how many threads were used on it, this machine, versions."""
    facts = {
        "board": board,
        "threads": str(threads),
        "client": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    return facts | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
