"""A model file's content, to be changed at will."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tiny(tiny_path: Path) -> dict[str, Any]:
    """The map of tiny16."""
    data: dict[str, Any] = json.loads(tiny_path.read_text())
    return data
