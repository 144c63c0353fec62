"""Measurements of earlier runs, so that the same layer shapes need not be measured again.

An entry counts only where everything that decides a latency is the same: layer shape (with what is fused behind it),
options, target, toolchain and its version, kind of board, emulated or not. Each row says who wrote it, when, with which
version of ellopt, and which board it was. A store that is damaged, locked or out of
reach costs its help and nothing else: it never stops or fails a run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ellopt import __version__
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.files.atomic import make_directory
from ellopt.files.json_text import parse_json
from ellopt.files.json_values import decode, parse_object
from ellopt.files.user_dirs import measurements_path, measurements_url
from ellopt.measure.database import COLUMNS, Database, who

log = logging.getLogger(__name__)

#: Part of every key: entries of another format are not seen.
FORMAT_VERSION = 1
_KEEP_SECONDS = 180 * 24 * 3600.0


@dataclass(frozen=True)
class StoreContext:
    """What measurements must have in common to stand for each other, apart from shape and options."""

    target: str
    toolchain: str
    toolchain_version: str
    board: str
    emulated: bool
    threads: int = 0

    @property
    def key(self) -> str:
        return json.dumps({"format": FORMAT_VERSION, **asdict(self)}, sort_keys=True)


@dataclass(frozen=True)
class StoredSamples:
    """Samples of one visit: (round, layer within the visit, milliseconds) each."""

    shape: ConvolutionShape
    options: ConvolutionOptions
    visit: str
    samples: tuple[tuple[int, str, float], ...]
    device: str = field(default="", compare=False)


class MeasurementStore:
    """Measurements in a database that several runs may use at once, an SQLite file or a server's.

    ``path``: of the file, or a URL as SQLAlchemy has it. Raises ConfigurationError for a URL that is none.
    """

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path)
        #: of the file, where it is one
        self.path = path if isinstance(path, Path) else Path()

    @classmethod
    def named(cls, place: str | None) -> MeasurementStore:
        """The store at ``place``, a path or a URL; without one the one that ``ELLOPT_STORE`` names, else that in the
        user's cache directory."""
        place = place or measurements_url()
        if not place:
            return cls(measurements_path())
        return cls(place if "://" in place else Path(place))

    @property
    def shown(self) -> str:
        """Where it is, without a password."""
        return self._database.shown

    def lookup(self, context: StoreContext, shapes: Iterable[ConvolutionShape]) -> list[StoredSamples]:
        """All that is known of ``shapes`` in ``context``, oldest first; nothing where the store cannot be read."""
        found: list[StoredSamples] = []
        if self._is_absent:
            return found
        with self._trouble_is_logged("read"):
            for shape in dict.fromkeys(shapes):
                for row in self._database.rows(context=context.key, shape=_shape_key(shape)):
                    # A row that cannot be understood is as good as none.
                    with contextlib.suppress(ConfigurationError, ValueError, TypeError):
                        found.append(_stored(shape, row))
        return found

    def add(self, context: StoreContext, measurements: Iterable[StoredSamples]) -> None:
        """Keep ``measurements``; those of a visit that is there already are the same and not added again."""
        now, by = time.time(), who()
        rows = [
            {
                "context": context.key, "shape": _shape_key(m.shape), "options": str(m.options), "visit": m.visit,
                "samples": json.dumps(m.samples), "created": now, "who": by, "device": m.device, "version": __version__,
            }
            for m in measurements
        ]  # fmt: skip
        if not rows:
            return
        with self._trouble_is_logged("written"):
            self._make_room()
            if isinstance(self._database.place, Path):  # what is shared is pruned by whoever keeps it
                self._database.delete(before=now - _KEEP_SECONDS)
            self._database.insert(rows)

    def rows(self) -> list[dict[str, Any]]:
        """Everything, as it is kept, oldest first. Raises InfrastructureError where it cannot be read."""
        if self._is_absent:
            return []
        with self._trouble_is_raised("read"):
            return self._database.rows()

    def take(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Keep rows of another store; how many were new. Raises ValueError, naming the first that cannot be understood,
        InfrastructureError where it cannot be written."""
        for number, row in enumerate(rows, 1):
            try:
                _check_row(row)
            except (ConfigurationError, ValueError, TypeError, LookupError) as error:
                raise ValueError(f"measurement {number} cannot be understood: {error}") from error
        if not rows:
            return 0
        with self._trouble_is_raised("written"):
            self._make_room()
            return self._database.insert([{name: row.get(name, "") for name in COLUMNS} for row in rows])

    def prune(self, before: float | None, contexts: Iterable[str] | None) -> int:
        """Delete what is older than ``before``, seconds since 1970, and of one of ``contexts``; how many rows went.

        Raises as ``rows``."""
        if self._is_absent:
            return 0
        with self._trouble_is_raised("written"):
            return self._database.delete(before, contexts)

    @property
    def _is_absent(self) -> bool:
        return isinstance(self._database.place, Path) and not self.path.is_file()

    def _make_room(self) -> None:
        if isinstance(self._database.place, Path):
            make_directory(self.path.parent)

    @contextlib.contextmanager
    def _trouble_is_raised(self, verb: str) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, OSError, UnicodeDecodeError) as error:
            raise InfrastructureError(
                f"{self.shown}: the store of measurements cannot be {verb}: {_why(error)}"
            ) from error

    @contextlib.contextmanager
    def _trouble_is_logged(self, verb: str) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, OSError, UnicodeDecodeError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            sound = not isinstance(cause, (sqlite3.DatabaseError, UnicodeDecodeError))
            sound = sound or isinstance(cause, sqlite3.OperationalError)  # locked, read-only, disk full
            if sound or not isinstance(self._database.place, Path):
                log.warning("%s: the store of measurements cannot be %s: %s", self.shown, verb, _why(error))
                return
            log.warning("%s: the store of measurements is damaged and set aside: %s", self.path, _why(error))
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
            self._database = Database(self.path)


def _why(error: BaseException) -> str:
    """What the database itself said, in one line."""
    said = getattr(error, "orig", None) or error
    return (str(said).splitlines() or [type(said).__name__])[0]


def _check_row(row: Mapping[str, Any]) -> None:
    """Raise what reading a damaged row raises."""
    decode(
        StoreContext, {key: value for key, value in parse_object(row["context"].encode()).items() if key != "format"}
    )
    _stored(ConvolutionShape.from_json(parse_object(row["shape"].encode())), row)
    if not 0 < decode(float, row["created"]) < 1e11:
        raise ValueError("a time that is none")
    if not all(isinstance(row.get(name, ""), str) for name in COLUMNS if name != "created"):
        raise ValueError("texts expected")


def _shape_key(shape: ConvolutionShape) -> str:
    return json.dumps(shape.to_json(), sort_keys=True)


def _stored(shape: ConvolutionShape, row: Mapping[str, Any]) -> StoredSamples:
    options, visit, text = row["options"], row["visit"], row["samples"]
    if not all(isinstance(value, str) for value in (options, visit, text)):
        raise ValueError("a row of texts")
    samples = decode(tuple[tuple[int, str, float], ...], parse_json(text))
    if not samples or not all(0 < ms < float("inf") for _, _, ms in samples):
        raise ValueError("samples are positive")
    return StoredSamples(shape, ConvolutionOptions.parse(options), visit, samples, str(row.get("device", "")))
