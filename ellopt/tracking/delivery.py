"""Delivers an outbox to a tracking store. Runs in the writer process.

Everything can be done twice without harm: parameters, tags and metrics of equal values merge, files are overwritten,
and a run whose making was begun but not noted is looked for by its unique tag before another is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from ellopt.files.redaction import without_credentials
from ellopt.files.sealed import digest_of_file
from ellopt.tracking.experiment import describe_experiment, find_experiment, publish_views
from ellopt.tracking.outbox import Journal, Reader
from ellopt.tracking.outer_run import is_random
from ellopt.tracking.reasons import NeverTaken, is_web_page
from ellopt.tracking.record import Attachment, Destination, Record, has_ended
from ellopt.tracking.store import NOTE_TAG, log_values, matching, standard_tags
from ellopt.tracking.views import run_page

_LOG = logging.getLogger(__name__)

PARENT = "model"  # key of the record that opens the parent run
_KEY_TAG = "ellopt.key"
_PARENT_TAG = "mlflow.parentRunId"
_TOO_OLD = "the MLflow server is too old for --register: it needs MLflow 3 or later there"
_CHILDREN = 25  # nested runs whose points in the parent's charts are logged together


class Delivery:
    """One outbox on its way. ``notice`` is called with a name and a text for what the user should hear of."""

    def __init__(self, path: Path, notice: Callable[[str, str], None]) -> None:
        self._path = path
        self._notice = notice
        self._reader = Reader(path)
        self._journal = Journal(path)
        self._records: dict[str, Record] = {}
        self._client: MlflowClient | None = None
        self._destination = Destination()
        self._experiment_id = ""
        self._unflushed: list[Record] = []  # nested runs that are there; their points in the parent's charts are not

    @property
    def waiting(self) -> int:
        """How many records are to be delivered, as far as the outbox was read."""
        return sum(key not in self._journal.done for key in self._records)

    def read(self) -> None:
        """Take in the records appended since the last call."""
        for record in self._reader.read():
            self._records[record.key] = record

    def pending(self) -> Iterator[Record]:
        """The records to deliver, in order."""
        self._unflushed.clear()
        for record in list(self._records.values()):
            if record.destination is not None:
                self._destination = self._meant(record)
            if record.key not in self._journal.done:
                yield record

    def deliver(self, record: Record) -> None:
        """Bring one record to the store. Raises MlflowException, OSError, ... when the store cannot take it now.

        Nested runs are done with ``flush`` only, which the next record of another kind does too.
        """
        if record.kind != "child" or len(self._unflushed) >= _CHILDREN:
            self.flush()
        try:
            if record.kind == "model":
                self._open(record)
            elif record.kind == "resumed":
                self._reopen(record)
            elif record.kind == "child":
                self._child(record)
                self._unflushed.append(record)
                return
            else:
                self._parent(record)
        except MlflowException as error:
            if record.registration is not None and is_web_page(error):
                raise NeverTaken(_TOO_OLD) from error
            # Tried again it would fail again, and hold up all that follows. Without its parent run nothing can follow.
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST") or record.kind == "model":
                raise
            if (gone := self._gone()) or error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NeverTaken(gone or error.message) from error
            self._notice("refused", f"MLflow refused {record.name or record.key}: {error.message}")
        self._journal.note(key=record.key, state="done")

    def flush(self) -> None:
        """Finish the nested runs delivered so far: one request adds them all to the charts of the parent run."""
        self._history(self._unflushed)
        for record in self._unflushed:
            self._journal.note(key=record.key, state="done")
        self._unflushed.clear()

    def mark_killed(self) -> None:
        """Say in the store that the run was killed, unless its records say how it ended. To go on sets it running."""
        if not has_ended(self._records.values()) and self.parent_run_id and not self._managed:
            self.client.set_tag(self.parent_run_id, "state", "interrupted")
            self.client.set_terminated(self.parent_run_id, "KILLED")

    def _gone(self) -> str:
        """What of the place where the records belong is not there any more, empty if all is."""
        experiment = self.client.get_experiment(self._experiment())
        if experiment.lifecycle_stage != "active":
            return f"the experiment {experiment.name!r} was deleted"
        run_id = self.parent_run_id
        deleted = run_id and self.client.get_run(run_id).info.lifecycle_stage != "active"
        return f"the run {run_id} was deleted" if deleted else ""

    def _meant(self, record: Record) -> Destination:
        """Where a record that opens the parent run belongs: as it was, or where the user sent it since."""
        destination = record.destination or Destination()
        if not self._journal.experiment:
            return destination
        return replace(destination, experiment=self._journal.experiment, experiment_id="", run_id="", nested=False)

    @property
    def parent_run_id(self) -> str:
        """The run id of the model's parent run, empty before there is one."""
        return self._journal.runs.get(PARENT, "")

    def where(self) -> dict[str, str]:
        """Where the parent run is: tracking_uri (no credentials), experiment, experiment_id, run_id, page of the UI."""
        return {
            "tracking_uri": self._journal.tracking_uri,
            "experiment": self.client.get_experiment(self._experiment()).name,
            "experiment_id": self._experiment(),
            "run_id": self._parent_id,
            "page": run_page(self._experiment(), self._parent_id),
        }

    def parent_params(self) -> Mapping[str, str]:
        """The parameters of the parent run, among them those that ``mlflow run`` itself logged."""
        return dict(self.client.get_run(self._parent_id).data.params)

    @property
    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = MlflowClient(tracking_uri=mlflow.get_tracking_uri())
        return self._client

    @property
    def _parent_id(self) -> str:
        return self._journal.runs[PARENT]

    @property
    def _managed(self) -> bool:
        """Whether the parent run is the one that ``mlflow run`` started, and will end."""
        destination = self._destination
        return bool(destination.run_id) and not destination.nested and destination.run_id == self._parent_id

    # the parent run

    def _open(self, record: Record) -> None:
        destination = self._meant(record)
        outer = self._outer_run(destination)
        inside = None if outer is None else str(outer.info.experiment_id)
        self._experiment_id = inside or find_experiment(self.client, destination)
        describe_experiment(self.client, self._experiment_id)
        if outer is not None and not destination.nested:
            self._adopt(outer, record)
            return
        tags = dict(record.tags) | ({_PARENT_TAG: outer.info.run_id} if outer is not None else {})
        run_id = self._create(record, tags)
        self._log(run_id, record)

    def _adopt(self, outer: Run, record: Record) -> None:
        """Make the run that ``mlflow run`` started the parent run of the model."""
        run_id = outer.info.run_id
        self._experiment_id = outer.info.experiment_id
        if is_random(outer.info.run_name or ""):
            self.client.update_run(run_id, name=record.name)
        self._log(run_id, record)
        self._journal.note(key=PARENT, run=run_id)

    def _reopen(self, record: Record) -> None:
        """A later process goes on with the work, perhaps inside another run of ``mlflow run``."""
        destination = self._meant(record)
        outer = self._outer_run(destination)
        old = self._parent_id
        if outer is None or old == outer.info.run_id:
            self.client.update_run(old, status="RUNNING")
        elif destination.nested:
            self.client.set_tag(old, _PARENT_TAG, outer.info.run_id)
            self.client.update_run(old, status="RUNNING")
        else:
            self._move(old, outer, record)
        self._log(self._parent_id, record)

    def _move(self, old: str, outer: Run, record: Record) -> None:
        """Move the nested runs below ``outer``: it shows the whole of the work, the interrupted run points to it."""
        self._adopt(outer, self._records[PARENT])
        describe_experiment(self.client, self._experiment_id)
        there = self._journal.done & self._journal.runs.keys()
        children = [child for key, child in self._records.items() if child.kind == "child" and key in there]
        for child in children:
            self.client.set_tag(self._journal.runs[child.key], _PARENT_TAG, outer.info.run_id)
        self._history(children)
        for key in ("state", NOTE_TAG):
            text = "continued" if key == "state" else f"Interrupted; continued in run {outer.info.run_id}."
            self.client.set_tag(old, key, text)
        self.client.set_terminated(old, "KILLED")

    def _parent(self, record: Record) -> None:
        if record.views:
            record = publish_views(self.client, self._experiment(), self._parent_id, record)
        self._log(self._parent_id, record)
        if record.table:
            self._table(record)
        for key, tags in record.marks.items():
            if key in self._journal.runs:
                self._set(self._journal.runs[key], tags=tags)
        if record.registration is not None:
            from ellopt.tracking.registry import register

            version = register(self.client, self._parent_id, record.registration, self._path)
            self._notice("registered", f"{record.registration.name} version {version}")
        if record.status and not self._managed:
            self.client.set_terminated(self._parent_id, record.status, record.end_ms)

    def _table(self, record: Record) -> None:
        """Log a CSV file as a table that ``mlflow.load_table`` reads, once: a second time would append to it."""
        source = next(file for file in record.files if file.name == record.table)
        name = str(PurePosixPath(record.table).with_suffix(".json"))
        logged = self.client.get_run(self._parent_id).data.tags.get("mlflow.loggedArtifacts", "")
        if f'"{name}"' not in logged:
            frame = pd.read_csv(self._path / source.path, keep_default_na=False, dtype={"node_id": str})
            self.client.log_table(self._parent_id, frame, name)

    # nested runs

    def _child(self, record: Record) -> None:
        run_id = self._create(record, dict(record.tags) | {_PARENT_TAG: self._parent_id})
        self._log(run_id, record)
        self.client.set_terminated(run_id, record.status or "FINISHED", record.end_ms)

    def _history(self, children: Sequence[Record]) -> None:
        points = [
            Metric(key, value, child.end_ms, child.step) for child in children for key, value in child.history.items()
        ]
        if points:
            log_values(self.client, self._parent_id, points)

    # what both have in common

    def _create(self, record: Record, tags: Mapping[str, str]) -> str:
        """The run of a record: the one noted, the one found in the store, or a new one."""
        key = record.key
        unique = f"{self._path.name}/{key}"
        if key in self._journal.runs:
            return self._journal.runs[key]
        run_id = self._search(unique) if key in self._journal.begun or self._journal.doubtful else ""
        if not run_id:
            self._journal.note(key=key, state="begun")
            run = self.client.create_run(
                self._experiment(),
                start_time=record.start_ms,
                tags=standard_tags() | dict(tags) | {_KEY_TAG: unique},
                run_name=record.name,
            )
            run_id = run.info.run_id
        self._journal.note(key=key, run=run_id)
        return run_id

    def _search(self, unique: str) -> str:
        condition = f"tags.`{_KEY_TAG}` {matching(unique)}"
        found = self.client.search_runs([self._experiment()], condition, ViewType.ACTIVE_ONLY, max_results=100)
        return next((run.info.run_id for run in found if run.data.tags.get(_KEY_TAG) == unique), "")

    def _log(self, run_id: str, record: Record) -> None:
        params = record.params
        if params and record.kind != "child":
            # MLflow refuses another value for a parameter; "mlflow run" may have logged one of the same name.
            existing = self.client.get_run(run_id).data.params
            params = {key: value for key, value in params.items() if key not in existing}
        fresh = record.kind in ("model", "child") and run_id != self._destination.run_id
        tags = {} if fresh else record.tags  # a new run was made with its tags
        step = record.step if record.kind == "parent" else 0
        self._set(run_id, params, record.metrics, tags, record.end_ms or record.start_ms, step)
        for file in record.files:
            self._upload(run_id, file)

    def _set(
        self,
        run_id: str,
        params: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        at_ms: int = 0,
        step: int = 0,
    ) -> None:
        log_values(
            self.client,
            run_id,
            [Metric(key, value, at_ms, step) for key, value in (metrics or {}).items()],
            [Param(key, value) for key, value in (params or {}).items()],
            [RunTag(key, value) for key, value in (tags or {}).items()],
        )

    def _upload(self, run_id: str, file: Attachment) -> None:
        path = self._path / file.path
        if not path.is_file():
            self._notice("missing", f"{file.name} is no longer there and was not logged ({path})")
        elif digest_of_file(path) != file.sha256:
            self._notice("missing", f"{file.name} was changed since and was not logged ({path})")
        else:
            folder = str(PurePosixPath(file.name).parent)
            self.client.log_artifact(run_id, str(path), None if folder == "." else folder)

    # finding the place

    def _outer_run(self, destination: Destination) -> Run | None:
        if not self._journal.tracking_uri:
            self._journal.note(tracking_uri=without_credentials(mlflow.get_tracking_uri()))
        if not destination.run_id:
            return None
        try:
            return self.client.get_run(destination.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._notice("no such run", f"MLFLOW_RUN_ID names run {destination.run_id}, which this store does not have")
            return None

    def _experiment(self) -> str:
        if not self._experiment_id:
            self._experiment_id = self.client.get_run(self._parent_id).info.experiment_id
        return self._experiment_id
