"""The outbox: an append-only file of records beside a model's output, and a journal of what was delivered.

A power cut or ``kill -9`` at any moment leaves both readable: a line that was cut off is skipped. The journal notes
that a run is about to be created before it is, so that a deliverer who finds such a note without the run's id
knows to look for that run in the store first.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ellopt.tracking.record import Record

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

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
        self._records = path / _RECORDS
        self._damaged = self._records.exists() and not self._records.read_bytes().endswith(b"\n")
        self.records = {record.key: record for record in Reader(path).read()}

    @classmethod
    def create(cls, output_dir: Path) -> Outbox:
        """A new, empty outbox for a run whose results go to ``output_dir``."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        path = output_dir / FOLDER / name
        (path / FILES).mkdir(parents=True)
        # The journal exists before the first record: one that is missing later was lost, not never begun.
        _append(path / _JOURNAL, {"journal": 1})
        (path / _RECORDS).touch()
        return cls(path)

    def append(self, record: Record) -> bool:
        """Append a record unless its key is there. Raises OSError if it cannot be written."""
        if record.key in self.records:
            return False
        try:
            _append(self._records, record.to_json(), after_damage=self._damaged)
        except OSError:
            self._damaged = True  # half a line may be there: the next one starts on a new line
            raise
        self._damaged = False
        self.records[record.key] = record
        return True

    def store_text(self, name: str, text: str) -> Path:
        """Keep a text below the outbox until it is delivered; ``name`` may have directories."""
        path = self.path / FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return path


class Reader:
    """Reads the records of an outbox as they are appended."""

    def __init__(self, path: Path) -> None:
        self._path = path / _RECORDS
        self._offset = 0
        self._seen: set[str] = set()

    def read(self) -> list[Record]:
        """The records appended since the last call, each key once."""
        result = []
        for data in self._lines():
            try:
                record = Record.from_json(data)
            except ValueError as error:
                _LOG.warning("%s: skipped: %s", self._path, error)
                continue
            if record.key not in self._seen:
                self._seen.add(record.key)
                result.append(record)
        return result

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # being written, or cut off
                self._offset += len(line)
                if (data := _parse(line)) is not None:
                    yield data


class Journal:
    """The deliverer's side: what was begun, which runs that made, what is done."""

    def __init__(self, path: Path) -> None:
        self._path = path / _JOURNAL
        self.runs: dict[str, str] = {}  # key -> run id
        self.begun: set[str] = set()
        self.done: set[str] = set()
        self.tracking_uri = ""
        self.doubtful = True
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        for line in lines:
            self._take(_parse(line) or {})
        self._cut = bool(lines) and not lines[-1].endswith(b"\n")

    def _take(self, data: Mapping[str, Any]) -> None:
        if "journal" in data:
            self.doubtful = False
        if "tracking_uri" in data:
            self.tracking_uri = data["tracking_uri"]
        key = data.get("key", "")
        if "run" in data:
            self.runs[key] = data["run"]
        if data.get("state") == "begun":
            self.begun.add(key)
        if data.get("state") == "done":
            self.done.add(key)

    def note(self, **data: str) -> None:
        """Write down a fact: ``key`` with ``state`` (begun, done) or ``run``, or ``tracking_uri``."""
        _append(self._path, data, after_damage=self._cut)
        self._cut = False
        self._take(data)


def _append(path: Path, data: Mapping[str, Any], after_damage: bool = False) -> None:
    line = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
    with path.open("ab") as file:
        file.write((b"\n" if after_damage else b"") + line.encode())
        file.flush()
        os.fsync(file.fileno())


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


@contextmanager
def delivering(path: Path) -> Iterator[None]:
    """Hold the outbox for delivery. The system lets go of it when the process ends. Raises OutboxBusy."""
    with (path / "lock").open("a+b") as file:
        _lock(file)
        yield


def _lock(file: BinaryIO) -> None:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutboxBusy("another process delivers these records") from error
