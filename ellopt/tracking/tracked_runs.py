"""Where the MLflow runs of an output directory are: the address of the store, and the runs' ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.files.redaction import without_credentials
from ellopt.report.document import TuningReport
from ellopt.report.locate import NAME
from ellopt.tracking.outbox import Journal, find_outboxes

_PARENT = "model"


@dataclass(frozen=True)
class TrackedRun:
    """The parent run of a model that was tuned, and the model's output directory. ``changed``: seconds since 1970."""

    tracking_uri: str
    run_id: str
    directory: Path
    changed: float


def tracked_runs(directory: Path) -> tuple[TrackedRun, ...]:
    """The newest run of every model whose output lies in ``directory`` or below, the newest of all last.

    Raises ConfigurationError if there is none.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: no such directory; give the --output_path of a tuning run")
    newest: dict[Path, TrackedRun] = {}
    for run in sorted((*_reported(directory), *_delivered(directory)), key=lambda run: run.changed):
        newest[run.directory] = run
    if not newest:
        raise ConfigurationError(
            f"{directory}: no run in it or below is in MLflow: it was tuned with --no_mlflow, or its records wait for "
            f"'ellopt sync {directory}'"
        )
    return tuple(sorted(newest.values(), key=lambda run: run.changed))


def store_with_credentials(uri: str) -> str:
    """The address of a store as it was noted, with the credentials that the environment has for it."""
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    return given if without_credentials(given) == uri else uri


def _reported(directory: Path) -> Iterator[TrackedRun]:
    for path in directory.rglob(NAME):
        run = TuningReport.load(path).mlflow_run
        if run.get("tracking_uri") and run.get("run_id"):
            yield TrackedRun(run["tracking_uri"], run["run_id"], path.parent, path.stat().st_mtime)


def _delivered(directory: Path) -> Iterator[TrackedRun]:
    """From journals, which know of runs that are not done, and of those that were sent elsewhere."""
    for path in find_outboxes(directory):
        journal = Journal(path)
        if journal.tracking_uri and _PARENT in journal.runs:
            yield TrackedRun(journal.tracking_uri, journal.runs[_PARENT], path.parents[1], path.stat().st_mtime)
