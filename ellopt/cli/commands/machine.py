"""``--json``: what a command shows in a table, as one JSON document for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from typing import Any

from ellopt.core.settings import setting


@dataclass(frozen=True)
class JsonSettings:
    """How a command says what it found."""

    json: bool = setting(False, "print one JSON document instead of a table")


def print_json(document: Any) -> None:
    """Write ``document`` to standard output: dataclasses as objects, paths and what else has no form as texts."""
    print(json.dumps(document, default=_plain, indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.value if isinstance(value, Enum) else str(value)
