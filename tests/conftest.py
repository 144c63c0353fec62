"""Fixtures that every part of the suite uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real models written by ELL, with inputs and ELL's own outputs."""
    root = Path(os.environ.get("ELLOPT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "models").is_dir():
        pytest.skip(f"the shared models are not at {root} (set ELLOPT_SHARED to the folder that holds models/)")
    return root / "models"


@pytest.fixture(scope="session")
def shared_samples(shared_models: Path) -> Path:
    """The folder of files that ELL's own tools wrote."""
    return shared_models.parent / "samples"
