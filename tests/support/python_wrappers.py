"""The Python module that comes with a C library, imported as its user would."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def import_wrapper(directory: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, directory / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
