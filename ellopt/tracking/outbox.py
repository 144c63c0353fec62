"""The outbox: an append-only file of records beside a model's output, and a journal of what was delivered.

A power cut or ``kill -9`` at any moment leaves both readable: a line that was cut off is skipped, a damaged one is told
of. The journal notes that a run is about to be created before it is, so that a deliverer who finds such a note without
the run's id knows to look for that run in the store first.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ellopt.files.atomic import make_directory, set_aside, write_text
from ellopt.files.json_values import decode
from ellopt.files.jsonl import JournalReader, JournalWriter
from ellopt.files.locks import FileLock
from ellopt.tracking.record import Record

_LOG = logging.getLogger(__name__)

#: the directory below a model's output directory that holds one outbox for each run
FOLDER = ".tracking"
FILES = "files"
_RECORDS = "records.jsonl"
_JOURNAL = "delivered.jsonl"


class OutboxBusy(Exception):
    """Another process is delivering this outbox."""


def find_outboxes(directory: Path) -> list[Path]:
    """All outboxes anywhere below ``directory``, the oldest first in each output directory."""
    return sorted(path.parent for path in directory.rglob(f"{FOLDER}/*/{_RECORDS}"))


def outboxes_of(output_dir: Path) -> list[Path]:
    """The outboxes of the runs whose results went to ``output_dir``, the oldest first."""
    return sorted(path.parent for path in output_dir.glob(f"{FOLDER}/*/{_RECORDS}"))


class Outbox:
    """The tuning process's side: appends records, each of which is on the disk when ``append`` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = JournalWriter(path / _RECORDS)
        self.records = {record.key: record for record in Reader(path).read()}

    @classmethod
    def create(cls, output_dir: Path) -> Outbox:
        """A new, empty outbox for a run whose results go to ``output_dir``."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        path = output_dir / FOLDER / name
        make_directory(path / FILES)
        (path / _RECORDS).touch()
        # The journal exists before the first record: one that is missing later was lost, not never begun.
        JournalWriter(path / _JOURNAL).append([{"journal": 1}])
        return cls(path)

    def append(self, record: Record) -> bool:
        """Append a record unless its key is there. Raises OSError if it cannot be written."""
        if record.key in self.records:
            return False
        self._writer.append([record.to_json()])
        self.records[record.key] = record
        return True

    def store_text(self, name: str, text: str) -> Path:
        """Keep a text below the outbox until it is delivered; ``name`` may have directories."""
        path = self.path / FILES / name
        write_text(path, text)
        return path


class Reader:
    """Reads the records of an outbox as they are appended."""

    def __init__(self, path: Path) -> None:
        self._path = path / _RECORDS
        self._reader = JournalReader(self._path)
        self._seen: set[str] = set()

    def read(self) -> list[Record]:
        """The records appended since the last call, each key once."""
        lines = self._reader.read()
        for damaged in lines.damaged:
            _LOG.warning("%s: line %d is damaged and left out", self._path, damaged.number)
        result = []
        for data in lines.values:
            try:
                record = Record.from_json(data)
            except ValueError as error:
                _LOG.warning("%s: skipped: %s", self._path, error)
                continue
            if record.key not in self._seen:
                self._seen.add(record.key)
                result.append(record)
        return result


@dataclass(frozen=True)
class _Note:
    """A line of the journal."""

    key: str = ""
    state: Literal["", "begun", "done"] = ""
    run: str = ""
    tracking_uri: str = ""
    experiment: str = ""
    journal: int = 0


class Journal:
    """The deliverer's side: what was begun, which runs that made, what is done.

    ``doubtful``: some of it is lost, so what is not noted may have been done all the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / _JOURNAL
        self._writer = JournalWriter(self._path)
        self.runs: dict[str, str] = {}  # key -> run id
        self.begun: set[str] = set()
        self.done: set[str] = set()
        self.tracking_uri = ""
        self.experiment = ""  # where the user sent the records instead
        self._complete = False
        lines = JournalReader(self._path).read()
        self._lost = len(lines.damaged)
        for value in lines.values:
            self._read(value)
        if self._lost:
            _LOG.warning("%s: %d damaged lines are left out", self._path, self._lost)

    @property
    def doubtful(self) -> bool:
        return self._lost > 0 or not self._complete

    def _read(self, value: dict[str, Any]) -> None:
        try:
            self._take(decode(_Note, value))
        except ValueError:
            self._lost += 1

    def _take(self, note: _Note) -> None:
        self._complete = self._complete or note.journal > 0
        self.tracking_uri = note.tracking_uri or self.tracking_uri
        self.experiment = note.experiment or self.experiment
        if note.run:
            self.runs[note.key] = note.run
        if note.state == "begun":
            self.begun.add(note.key)
        if note.state == "done":
            self.done.add(note.key)

    def note(self, **data: str) -> None:
        """Write down a fact: ``key`` with ``state`` (begun, done) or ``run``, or ``tracking_uri`` and perhaps
        ``experiment``."""
        note = decode(_Note, data)
        self._writer.append([data])
        self._take(note)


def redirect(path: Path, tracking_uri: str, experiment: str) -> None:
    """Send all records of an outbox, delivered or not, to another place; the old journal is kept beside the new one.

    Raises OutboxBusy.
    """
    with delivering(path):
        if (path / _JOURNAL).exists():
            set_aside(path / _JOURNAL)
        place = {"experiment": experiment} | ({"tracking_uri": tracking_uri} if tracking_uri else {})
        JournalWriter(path / _JOURNAL).append([{"journal": 1}, place])


def guard_of(path: Path) -> FileLock:
    """Held by the process whose run the records tell of, for as long as it may add to them."""
    return FileLock(path / "alive")


@contextmanager
def delivering(path: Path) -> Iterator[None]:
    """Hold the outbox for delivery. The system lets go of it when the process ends. Raises OutboxBusy."""
    lock = FileLock(path / "lock")
    if not lock.try_acquire():
        raise OutboxBusy("another process delivers these records")
    try:
        yield
    finally:
        lock.release()
