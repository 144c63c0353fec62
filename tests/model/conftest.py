"""Fixtures of the model tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def tiny_path() -> Path:
    return DATA / "tiny16.ell"


@pytest.fixture
def tiny(tiny_path: Path) -> dict[str, Any]:
    """The map of tiny16, to be changed at will."""
    data: dict[str, Any] = json.loads(tiny_path.read_text())
    return data


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a map (or plain text) as a model file."""

    def write_file(content: Any, name: str = "m.ell") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_file
