"""Models that failed while others went on: what is said of each, and the exit code of them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.core.errors import ConfigurationError, ModelFormatError

if TYPE_CHECKING:
    from rich.console import Console


def exit_code(errors: Sequence[Exception]) -> int:
    """0 without errors; 2 if the user can mend one of them; 1 if something else failed."""
    if not errors:
        return 0
    return 2 if any(isinstance(error, (ConfigurationError, ModelFormatError)) for error in errors) else 1


def show_failure(path: Path, error: Exception, console: Console) -> None:
    """Say on standard error why the model at ``path`` has no result; ``console`` is the one of standard output."""
    text = str(error)
    prefix = "" if str(path) in text else f"{path}: "
    type(console)(stderr=True).print(
        f"ellopt: {prefix}{text}", style="red", markup=False, highlight=False, soft_wrap=True
    )
