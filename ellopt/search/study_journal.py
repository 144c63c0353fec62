"""Optuna's journal of operations, kept in one of our journals: Optuna's own programs read it as one of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from ellopt.files.jsonl import JournalReader, JournalWriter


class StudyJournal(BaseJournalBackend):
    """For one process at a time. Other programs, such as optuna-dashboard, may read and append.

    Raises OSError when opened; ``damaged`` says whether something of the file is lost.
    """

    def __init__(self, path: Path) -> None:
        lines = JournalReader(path, shared=True).read()
        self.damaged = bool(lines.damaged)
        self._writer = JournalWriter(path)
        self._logs: list[dict[str, Any]] = list(lines.values)
        self._waiting: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._waiting is None:
            self._writer.append(logs)
        else:
            self._waiting += logs
        self._logs += logs

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is appended in the ``with`` goes to the disk in one piece at its end."""
        if self._waiting is not None:
            yield
            return
        self._waiting = []
        try:
            yield
        finally:
            waiting, self._waiting = self._waiting, None
            self._writer.append(waiting)
