"""One model of a tuning run: turns its events into records in the model's outbox."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.core.trial import Trial
from ellopt.files.locks import FileLock
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
from ellopt.tracking.outbox import FILES, FOLDER, Journal, Outbox, guard_of, outboxes_of
from ellopt.tracking.record import NO_INPUTS, Attachment, Destination, Inputs, Record, Registration, Status, has_ended
from ellopt.tracking.summary import description, measurements_csv

if TYPE_CHECKING:
    from ellopt.search.observer import SearchProgress

_LOG = logging.getLogger(__name__)

#: files of this kind are logged with a secret cut out; any other that holds one is not logged at all
_TEXTS = (".json", ".txt", ".md", ".html", ".csv", ".log")
_FINISH = "finish"


class ModelTracker:
    """What a tuning run tells of one model. This one keeps nothing; it is also a ``SearchObserver``.

    ``mlflow_run`` says where the parent run is (tracking_uri, experiment, experiment_id, run_id, page); empty if that
    is not known, be it that MLflow is down or that it is slow to say.
    """

    @property
    def mlflow_run(self) -> Mapping[str, str]:
        return {}

    def trial_finished(self, trial: Trial, files: Mapping[str, str] | None = None) -> None:
        """A trial came to its end. ``files``: name -> text of artifacts such as ``profile_report.txt``. Told again, it
        is not logged again."""

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        """The trials that an interrupted run had finished; those that were not recorded then are now."""

    def state_changed(self, progress: SearchProgress) -> None: ...

    def finish_model(
        self, report: TuningReport, output_dir: Path, inputs: Inputs = NO_INPUTS, extra: Sequence[Path] = ()
    ) -> None:
        """The model is tuned; its output files are in ``output_dir``. ``inputs``: name -> shape of the
        model's inputs, for a registered model. ``extra``: further files to log."""

    def failed_model(self, reason: str) -> None:
        """The model could not be tuned."""

    def interrupted(self) -> None:
        """The run ends and the model is not done: the same command will go on with it. Told again, nothing happens."""


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
        self._on_news = on_news
        self._lock = threading.RLock()
        self._warned = False
        self._ended = False
        self._began_ms = _now()
        self.outbox: Outbox | None = None
        self._guard: FileLock | None = None
        self._earlier: dict[str, Record] = {}  # trials of the same work, logged with a run that was finished
        self.older: tuple[Path, ...] = ()  # outboxes of other runs in the same directory of which something waits
        try:
            self.outbox = self._open_outbox(destination)
            self.older = self._close_older()
        except OSError as error:
            self._cannot_write(error)

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
        return self._register if self._known("register") else ""

    @property
    def outbox_path(self) -> Path | None:
        return None if self.outbox is None else self.outbox.path

    def undelivered(self) -> int:
        """How many records wait."""
        if self.outbox is None:
            return 0
        done = Journal(self.outbox.path).done
        return sum(key not in done for key in self.outbox.records)

    def _open_outbox(self, destination: Destination) -> Outbox:
        """The outbox of the interrupted run of the same work, or a new one."""
        identity = self._redactor.text(self.start.full_identity)
        trials_of = ""
        for path in reversed(outboxes_of(self.start.output_dir)):
            outbox = Outbox(path)
            opening = outbox.records.get("model")
            if opening is None or opening.identity != identity or opening.destination is None:
                continue
            journal = Journal(path)
            here = not journal.experiment or journal.tracking_uri == destination.tracking_uri
            if here and opening.destination.same_store(destination):
                if _FINISH in outbox.records:
                    trials_of = trials_of or journal.runs.get("model", "")
                    self._earlier = outbox.records | self._earlier
                    continue
                self._hold(outbox)
                count = sum(record.kind == "resumed" for record in outbox.records.values())
                self._append(
                    Record(
                        key=f"resumed/{count + 1}",
                        kind="resumed",
                        start_ms=self._began_ms,
                        tags={"state": "running"},
                        destination=destination,
                    )
                )
                return outbox
        outbox = self._hold(Outbox.create(self.start.output_dir))
        self._append(
            Record(
                key="model",
                kind="model",
                name=self.start.run_name,
                status="RUNNING",
                start_ms=self._began_ms,
                params=texts(self.start.params),
                tags=texts(self.start.tags() | {"kind": "model", "state": "running", "earlier_trials_in": trials_of}),
                destination=destination,
                identity=identity,
            )
        )
        return outbox

    def _hold(self, outbox: Outbox) -> Outbox:
        """Take an outbox for as long as this run lasts."""
        self.outbox = outbox
        self._guard = guard_of(outbox.path)
        self._guard.try_acquire()
        return outbox

    def _end_of_records(self) -> None:
        self._ended = True
        if self._guard is not None:
            self._guard.release()

    def _close_older(self) -> tuple[Path, ...]:
        """Earlier runs in this directory are over, since this one holds it: say so in those that were killed."""
        waiting = []
        for path in outboxes_of(self.start.output_dir):
            if path == self.outbox_path:
                continue
            outbox = Outbox(path)
            if not has_ended(outbox.records.values()):
                why = "The run was killed; another followed it."
                outbox.append(end_record(len(outbox.records), "KILLED", "interrupted", why, _now()))
            if outbox.records.keys() - Journal(path).done:
                waiting.append(path)
        return tuple(waiting)

    def trial_finished(self, trial: Trial, files: Mapping[str, str] | None = None) -> None:
        if self._known(trial_key(trial.number)):
            return
        end = _now()
        begun = self._began_ms + round(1000 * trial.started_s) if trial.started_s else end
        if begun >= end:
            begun = end - round(1000 * trial.board_seconds)
        self._trial(trial, begun, end, files or {})

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if not self._known(trial_key(trial.number)):
                end = self._began_ms
                self._trial(trial, end - round(1000 * trial.board_seconds), end, {})

    def _trial(self, trial: Trial, start_ms: int, end_ms: int, files: Mapping[str, str]) -> None:
        record = trial_record(trial, self.start, start_ms, end_ms)
        earlier = self._earlier.get(record.key)
        if earlier is not None and (earlier.params, earlier.metrics) == (record.params, record.metrics):
            return
        with self._lock:
            try:
                attachments = self._trial_files(trial, files)
            except OSError as error:
                self._cannot_write(error)
                attachments = ()
            self._append(replace(record, files=attachments))

    def _trial_files(self, trial: Trial, files: Mapping[str, str]) -> tuple[Attachment, ...]:
        if self.outbox is None:
            return ()
        options = {"nodes": {node: options.to_ell() for node, options in trial.plan.items()}}
        contents = {"compile_options.json": json.dumps(options, indent=1) + "\n", **files}
        stored = []
        for name, text in contents.items():
            path = self.outbox.store_text(f"trial-{trial.number}/{name}", self._redactor.text(text))
            stored.append(Attachment.of(name, path, self.outbox.path))
        return tuple(stored)

    def finish_model(
        self, report: TuningReport, output_dir: Path, inputs: Inputs = NO_INPUTS, extra: Sequence[Path] = ()
    ) -> None:
        with self._lock:
            for trial in report.trials:  # those that a full disk swallowed
                if not self._known(trial_key(trial.number)):
                    begun = self._began_ms + round(1000 * trial.started_s)
                    self._trial(trial, begun, begun + round(1000 * trial.board_seconds), {})
            now = _now()
            for whole in report.confirmation.candidates:
                self._append(confirmation_record(whole, report, self.start, now))
            try:
                files = self._output_files(report, output_dir, extra)
            except OSError as error:
                self._cannot_write(error)
                files = ()
            step = max((trial.number for trial in report.trials), default=-1) + 1  # behind the last trial
            note = self._redactor.text(description(report))
            self._append(
                Record(
                    key=_FINISH,
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
        if self.outbox is None:
            return ()
        outbox = self.outbox.path
        known = [output_dir / name for name in (*report.files, "tuning_report.json", "tuning_report.html")]
        paths = dict.fromkeys(path for path in (*known, *extra) if path.is_file())
        attachments = [self._guarded(path, outbox) for path in paths]
        table = self.outbox.store_text("measurements.csv", self._redactor.text(measurements_csv(report)))
        return (*(file for file in attachments if file is not None), Attachment.of(table.name, table, outbox))

    def _guarded(self, path: Path, outbox: Path) -> Attachment | None:
        """The file as an attachment; where it holds a secret, a copy without it, or nothing."""
        if not self._redactor.found_in(path):
            return Attachment.of(path.name, path, outbox)
        if path.suffix not in _TEXTS or self.outbox is None:
            _LOG.warning("%s holds a secret and is not logged in MLflow", path)
            return None
        _LOG.warning("%s holds a secret; it is cut out of the copy in MLflow", path)
        text = self._redactor.text(path.read_text(encoding="utf-8", errors="replace"))
        return Attachment.of(path.name, self.outbox.store_text(f"output/{path.name}", text), outbox)

    def _register_model(self, report: TuningReport, files: Sequence[Attachment], inputs: Inputs, step: int) -> None:
        model = next((file for file in files if frontend_of(file.name)), None)
        if self._register and model is not None:
            shape, names = next(iter(inputs.values()), ()), tuple(inputs)
            registration = Registration(self._register, model.path, shape, step, version_tags(report), names)
            self._append(Record(key="register", kind="parent", registration=registration))

    def failed_model(self, reason: str) -> None:
        self._end("FAILED", "failed", reason)

    def interrupted(self) -> None:
        if not self._ended:
            self._end("KILLED", "interrupted", "The run was interrupted; the same command continues it.")

    def _end(self, status: Status, state: str, reason: str) -> None:
        with self._lock:
            if self.outbox is not None:
                self._append(end_record(len(self.outbox.records), status, state, reason, _now()))
            self._end_of_records()

    def _known(self, key: str) -> bool:
        return self.outbox is not None and key in self.outbox.records

    def _append(self, record: Record) -> None:
        if self.outbox is None:
            return
        clean = self._redactor.json(record.to_json())
        clean |= {"key": record.key, "kind": record.kind}  # our own words, not the user's
        with self._lock:
            try:
                self.outbox.append(Record.from_json(clean))
            except OSError as error:
                self._cannot_write(error)
                return
        self._on_news()

    def _cannot_write(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            where = self.start.output_dir / FOLDER / FILES
            _LOG.warning("records for MLflow cannot be written to %s (%s); tuning goes on without", where, error)


def _now() -> int:
    return time.time_ns() // 1_000_000
