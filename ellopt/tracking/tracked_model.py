"""What a tuning run tells of one model, as records that a writer process delivers to MLflow."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ellopt.core.trial import Trial
from ellopt.files.redaction import Redactor
from ellopt.frontends.base import frontend_of
from ellopt.report.document import TuningReport
from ellopt.tracking.events import (
    ModelStart,
    best_trial_marks,
    confirmation_record,
    end_record,
    final_metrics,
    layer_params,
    texts,
    trial_key,
    trial_record,
    version_tags,
    winning_params,
)
from ellopt.tracking.folder import answer_seconds
from ellopt.tracking.model_records import FINISH, ModelRecords
from ellopt.tracking.model_tracker import ModelTracker
from ellopt.tracking.outbox import Outbox
from ellopt.tracking.record import NO_INPUTS, Attachment, Destination, Inputs, Record, Registration, Status
from ellopt.tracking.summary import description, measurements_csv


class TrackedModel(ModelTracker):
    """Writes records. A disk that takes none is warned of once; the run goes on, and the end tries again."""

    def __init__(
        self,
        start: ModelStart,
        destination: Destination,
        redactor: Redactor,
        register: str,
        on_news: Callable[[], None],
    ) -> None:
        self.start = start
        self._run: Mapping[str, str] = {}
        self._answered = threading.Event()
        self._answer_seconds = answer_seconds(destination.tracking_uri)
        self._redactor = redactor
        self._register = register
        self._ended = False
        self._began_ms = _now()
        self._records = ModelRecords(start, destination, redactor, self._began_ms, on_news)

    @property
    def outbox(self) -> Outbox | None:
        return self._records.outbox

    @property
    def older(self) -> tuple[Path, ...]:
        """Outboxes of other runs in the same directory of which something waits."""
        return self._records.older

    @property
    def mlflow_run(self) -> Mapping[str, str]:
        self._answered.wait(self._answer_seconds)
        return self._run

    def answered(self, run: Mapping[str, str] | None) -> None:
        """MLflow said where the parent run is, or (None) that nobody knows for now."""
        if run is not None:
            self._run = run
        self._answered.set()

    @property
    def asks_for(self) -> str:
        """The name under which the finished model is to be registered, empty for none."""
        return self._register if self._records.known("register") else ""

    @property
    def outbox_path(self) -> Path | None:
        return self._records.path

    def undelivered(self) -> int:
        """How many records wait."""
        return self._records.undelivered()

    def trial_finished(self, trial: Trial, files: Mapping[str, str] | None = None) -> None:
        if self._records.known(trial_key(trial.number)):
            return
        end = _now()
        begun = self._began_ms + round(1000 * trial.started_s) if trial.started_s else end
        if begun >= end:
            begun = end - round(1000 * trial.board_seconds)
        self._trial(trial, begun, end, files or {})

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if not self._records.known(trial_key(trial.number)):
                end = self._began_ms
                self._trial(trial, end - round(1000 * trial.board_seconds), end, {})

    def _trial(self, trial: Trial, start_ms: int, end_ms: int, files: Mapping[str, str]) -> None:
        record = trial_record(trial, self.start, start_ms, end_ms)
        earlier = self._records.earlier.get(record.key)
        if earlier is not None and (earlier.params, earlier.metrics) == (record.params, record.metrics):
            return
        with self._records.lock:
            try:
                attachments = self._trial_files(trial, files)
            except OSError as error:
                self._records.cannot_write(error)
                attachments = ()
            self._records.append(replace(record, files=attachments))

    def _trial_files(self, trial: Trial, files: Mapping[str, str]) -> tuple[Attachment, ...]:
        options = {"nodes": {node: options.to_ell() for node, options in trial.plan.items()}}
        contents = {"compile_options.json": json.dumps(options, indent=1) + "\n", **files}
        stored = (
            self._records.attach_text(f"trial-{trial.number}/{name}", name, text) for name, text in contents.items()
        )
        return tuple(file for file in stored if file is not None)

    def finish_model(
        self, report: TuningReport, output_dir: Path, inputs: Inputs = NO_INPUTS, extra: Sequence[Path] = ()
    ) -> None:
        with self._records.lock:
            for trial in report.trials:  # those that a full disk swallowed
                if not self._records.known(trial_key(trial.number)):
                    begun = self._began_ms + round(1000 * trial.started_s)
                    self._trial(trial, begun, begun + round(1000 * trial.board_seconds), {})
            now = _now()
            for whole in report.confirmation.candidates:
                self._records.append(confirmation_record(whole, report, self.start, now))
            try:
                files = self._output_files(report, output_dir, extra)
            except OSError as error:
                self._records.cannot_write(error)
                files = ()
            step = max((trial.number for trial in report.trials), default=-1) + 1  # behind the last trial
            note = self._redactor.text(description(report))
            self._records.append(
                Record(
                    key=FINISH,
                    kind="parent",
                    status="FINISHED",
                    end_ms=now,
                    params=winning_params(report, self.start),
                    metrics=final_metrics(report, self.start),
                    step=step,
                    tags=texts({"state": "complete", "mlflow.note.content": note}),
                    files=files,
                    table="measurements.csv" if any(file.name == "measurements.csv" for file in files) else "",
                    marks=best_trial_marks(report),
                    views=layer_params(report, self.start),
                )
            )
            self._register_model(report, files, inputs, step)
            self._end_of_records()

    def _output_files(self, report: TuningReport, output_dir: Path, extra: Sequence[Path]) -> tuple[Attachment, ...]:
        known = [output_dir / name for name in (*report.files, "tuning_report.json", "tuning_report.html")]
        paths = dict.fromkeys(path for path in (*known, *extra) if path.is_file())
        table = "measurements.csv"
        files = (
            *(self._records.attach_file(path) for path in paths),
            self._records.attach_text(table, table, measurements_csv(report)),
        )
        return tuple(file for file in files if file is not None)

    def _register_model(self, report: TuningReport, files: Sequence[Attachment], inputs: Inputs, step: int) -> None:
        model = next((file for file in files if frontend_of(file.name)), None)
        if self._register and model is not None:
            shape, names = next(iter(inputs.values()), ()), tuple(inputs)
            registration = Registration(self._register, model.path, shape, step, version_tags(report), names)
            self._records.append(Record(key="register", kind="parent", registration=registration))

    def failed_model(self, reason: str) -> None:
        self._end("FAILED", "failed", reason)

    def interrupted(self) -> None:
        if not self._ended:
            self._end("KILLED", "interrupted", "The run was interrupted; the same command continues it.")

    def _end(self, status: Status, state: str, reason: str) -> None:
        with self._records.lock:
            if self.outbox is not None:
                self._records.append(end_record(len(self.outbox.records), status, state, reason, _now()))
            self._end_of_records()

    def _end_of_records(self) -> None:
        self._ended = True
        self._records.release()


def _now() -> int:
    return time.time_ns() // 1_000_000
