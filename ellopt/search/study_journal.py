"""Optuna's journal of operations, kept in one of our journals: Optuna's own programs read it as one of theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from ellopt.files.jsonl import JournalReader, JournalWriter

#: Optuna's numbers of the operations that begin a study and a trial; each gets the next id.
_CREATE_STUDY, _CREATE_TRIAL = 0, 4


class StudyJournal(BaseJournalBackend):
    """For one process at a time. Other programs, such as optuna-dashboard, may read and append.

    Operations go to the disk when ``flush`` is called, all at once. Raises OSError when opened; ``damaged`` says
    whether something of the file is lost or means nothing.
    """

    def __init__(self, path: Path) -> None:
        lines = JournalReader(path, shared=True).read()
        self.damaged = bool(lines.damaged) or _means_nothing(lines.values)
        self._writer = JournalWriter(path)
        self._logs: list[dict[str, Any]] = list(lines.values)
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self._lock:
            self._waiting += logs
            self._logs += logs

    def flush(self) -> None:
        """Wait until the disk has every operation. Raises OSError."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        self._writer.append(waiting)


def _means_nothing(logs: Iterable[dict[str, Any]]) -> bool:
    """Whether an operation is on a study or a trial that is not there.

    Optuna passes over such operations. Where one of them should have begun a trial, all ids behind it mean others.
    """
    studies = trials = 0
    for log in logs:
        if "study_id" in log and log["study_id"] not in range(studies):
            return True
        if "trial_id" in log and log["trial_id"] not in range(trials):
            return True
        studies += log.get("op_code") == _CREATE_STUDY
        trials += log.get("op_code") == _CREATE_TRIAL
    return False
