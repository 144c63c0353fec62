"""What a keeper of a store sees of it and does with it: conditions, deleting, moving to another store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.files.atomic import write_text
from ellopt.files.json_text import parse_json
from ellopt.files.json_values import decode, parse_object
from ellopt.files.jsonl import encode
from ellopt.measure.store import MeasurementStore, StoreContext


@dataclass(frozen=True)
class Kept:
    """All that was measured under the same conditions. Times are seconds since 1970; ``key`` is the conditions' own."""

    key: str
    context: StoreContext
    shapes: int
    measurements: int
    oldest: float
    newest: float
    who: tuple[str, ...]
    devices: tuple[str, ...]


def kept(store: MeasurementStore, target: str = "", board: str = "") -> list[Kept]:
    """What ``store`` has of ``target`` and of kinds of boards whose names contain ``board``, newest last.

    What cannot be understood is left out. Raises InfrastructureError.
    """
    by_context: dict[str, list[Mapping[str, Any]]] = {}
    for row in store.rows():
        by_context.setdefault(row["context"], []).append(row)
    found = []
    for key, rows in by_context.items():
        try:
            said = parse_object(key.encode())
            context = decode(StoreContext, {name: value for name, value in said.items() if name != "format"})
        except ValueError:
            continue
        if (not target or context.target == target) and board in context.board:
            times = [row["created"] for row in rows]
            found.append(
                Kept(
                    key, context, len({row["shape"] for row in rows}), len(rows), min(times), max(times),
                    _some(rows, "who"), _some(rows, "device"),
                )
            )  # fmt: skip
    return sorted(found, key=lambda each: each.newest)


def export(store: MeasurementStore, path: Path) -> int:
    """Write every measurement to ``path``, a JSON object a line; how many. Raises InfrastructureError, OSError."""
    rows = store.rows()
    write_text(path, "".join(encode(row).decode() for row in rows))
    return len(rows)


def take_in(store: MeasurementStore, path: Path) -> tuple[int, int]:
    """Keep what ``export`` wrote: how many measurements there were, and how many were new.

    Raises ConfigurationError, and keeps nothing, if one of them cannot be understood; InfrastructureError.
    """
    try:
        rows = list(_lines(path))
        return len(rows), store.take(rows)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} was not written by 'ellopt store export': {error}") from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            row = parse_json(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no measurement")
            yield row


def _some(rows: list[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(sorted({str(row[name]) for row in rows} - {""}))
