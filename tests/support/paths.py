"""Where the repository and the tests' data lie, and how a program of the tests is started in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests" / "data"
TINY = DATA / "tiny16.ell"
CASES = DATA / "cases"


def module_command(name: str, *arguments: object) -> list[str]:
    """The command that runs ``tests.support.NAME`` as a program; it needs :func:`module_environment`."""
    return [sys.executable, "-m", f"tests.support.{name}", *map(str, arguments)]


def module_environment() -> dict[str, str]:
    """This process's variables, and the repository for Python to import from, whatever the current directory is."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}
