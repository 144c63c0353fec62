"""Measurements of earlier runs, so that the same layer shapes need not be measured again.

An entry counts only where everything that decides a latency is the same: layer shape (with what is fused behind it),
options, target, toolchain and its version, kind of board, emulated or not. A store that is damaged, locked or out of
reach costs its help and nothing else: it never stops or fails a run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.files.atomic import make_directory
from ellopt.files.json_text import parse_json
from ellopt.files.json_values import decode
from ellopt.files.user_dirs import measurements_path

log = logging.getLogger(__name__)

#: Part of every key: entries of another format are not seen.
FORMAT_VERSION = 1
_LOCK_TIMEOUT = 10.0
_KEEP_SECONDS = 180 * 24 * 3600.0
_SCHEMA = """
create table if not exists samples (
    context text not null, shape text not null, options text not null, visit text not null,
    samples text not null, created real not null,
    primary key (context, shape, options, visit))
"""


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


class MeasurementStore:
    """An SQLite file that several runs may use at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def default(cls) -> MeasurementStore:
        """The store named by ``ELLOPT_STORE``, else the one in the user's cache directory."""
        return cls(measurements_path())

    def lookup(self, context: StoreContext, shapes: Iterable[ConvolutionShape]) -> list[StoredSamples]:
        """All that is known of ``shapes`` in ``context``, oldest first; nothing where the store cannot be read."""
        found: list[StoredSamples] = []
        if not self.path.is_file():
            return found
        with self._trouble_is_logged("read"), self._connection() as connection:
            for shape in dict.fromkeys(shapes):
                rows = connection.execute(
                    "select options, visit, samples from samples where context = ? and shape = ? order by created",
                    (context.key, _shape_key(shape)),
                )
                for options, visit, samples in rows:
                    # A row that cannot be understood is as good as none.
                    with contextlib.suppress(ConfigurationError, ValueError, TypeError):
                        found.append(_stored(shape, options, visit, samples))
        return found

    def add(self, context: StoreContext, measurements: Iterable[StoredSamples]) -> None:
        """Keep ``measurements``; those of a visit that is there already are the same and not added again."""
        now = time.time()
        rows = [
            (context.key, _shape_key(m.shape), str(m.options), m.visit, json.dumps(m.samples), now)
            for m in measurements
        ]
        if not rows:
            return
        with self._trouble_is_logged("written"):
            make_directory(self.path.parent)
            with self._connection() as connection:
                connection.execute("delete from samples where created < ?", (now - _KEEP_SECONDS,))
                connection.executemany("insert or ignore into samples values (?, ?, ?, ?, ?, ?)", rows)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT)) as connection:
            connection.execute(_SCHEMA)
            with connection:
                yield connection

    @contextlib.contextmanager
    def _trouble_is_logged(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, read-only, disk full: the file itself is sound
            log.warning("%s: the store of measurements cannot be %s: %s", self.path, verb, error)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            log.warning("%s: the store of measurements is damaged and set aside: %s", self.path, error)
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        except OSError as error:
            log.warning("%s: the store of measurements cannot be %s: %s", self.path, verb, error)


def _shape_key(shape: ConvolutionShape) -> str:
    return json.dumps(shape.to_json(), sort_keys=True)


def _stored(shape: ConvolutionShape, options: str, visit: str, text: str) -> StoredSamples:
    if not all(isinstance(value, str) for value in (options, visit, text)):
        raise ValueError("a row of texts")
    samples = decode(tuple[tuple[int, str, float], ...], parse_json(text))
    if not samples or not all(0 < ms < float("inf") for _, _, ms in samples):
        raise ValueError("samples are positive")
    return StoredSamples(shape, ConvolutionOptions.parse(options), visit, samples)
