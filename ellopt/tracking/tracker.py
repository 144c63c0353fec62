"""Keeps what a tuning run saw in MLflow, off the critical path: records go to disk, another process delivers them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from ellopt.core.errors import ConfigurationError
from ellopt.files.redaction import Redactor, environment_secrets, without_credentials
from ellopt.tracking.events import ModelStart
from ellopt.tracking.folder import check_folder, is_server
from ellopt.tracking.model_tracker import ModelTracker
from ellopt.tracking.outbox import Journal
from ellopt.tracking.process import WriterProcess
from ellopt.tracking.record import Destination
from ellopt.tracking.settings import TrackingSettings
from ellopt.tracking.tracked_model import TrackedModel
from ellopt.tracking.undelivered import destination_of

_LOG = logging.getLogger(__name__)

#: seconds that the end of a run waits for the rest to be delivered: to a store on this machine, to a server
_LOCAL_PATIENCE, _SERVER_PATIENCE = 240.0, 15.0
#: ... when the run is terminated from outside, which must be quick
_LAST_PATIENCE = 0.5


@dataclass(frozen=True)
class TrackingSummary:
    """``runs``: tag -> tracking_uri, experiment, experiment_id, run_id of the model's parent run. ``waiting``: records
    that are not delivered yet. ``registered``: what was registered, ``unregistered`` what should have been.
    ``trouble``: why records wait, in one line."""

    runs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    waiting: int = 0
    registered: tuple[str, ...] = ()
    unregistered: tuple[str, ...] = ()
    trouble: str = ""


class Tracker(Protocol):
    """Use in a ``with``: leaving it delivers what is left, for a bounded time. No method raises for MLflow's sake."""

    def start_model(self, start: ModelStart) -> ModelTracker:
        """Begin or, after an interruption, continue the parent run of a model."""

    def quiet(self) -> AbstractContextManager[None]:
        """Hold around a measurement on this machine: nothing is delivered meanwhile."""

    @property
    def summary(self) -> TrackingSummary:
        """How things stand; complete after the ``with``."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_tracking(settings: TrackingSettings, models: int = 1, secrets: Sequence[str] = ()) -> Tracker:
    """The tracker for a run that tunes so many ``models``. ``secrets``: values that must not be written.

    Raises ConfigurationError if the model cannot be registered under the given name, or MLflow cannot write here.
    """
    if not settings.mlflow:
        return NullTracker()
    check_folder()
    check_registered_name(settings.register)
    return MlflowTracker(settings, models, secrets)


def check_registered_name(name: str) -> None:
    """Raise ConfigurationError if MLflow's registry takes no model of this name. Empty is no name at all."""
    if name and (not name.strip() or any(character in name for character in "/:") or name.strip(". ") == ""):
        raise ConfigurationError(
            f"--register: {name!r} cannot name a registered model: use letters, digits, '-', '_', '.' and spaces, "
            "no '/' and no ':'"
        )


class NullTracker:
    """Keeps nothing."""

    summary = TrackingSummary()

    def start_model(self, start: ModelStart) -> ModelTracker:
        return ModelTracker()

    def quiet(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class MlflowTracker:
    """Keeps everything in MLflow."""

    def __init__(self, settings: TrackingSettings, models: int = 1, secrets: Sequence[str] = ()) -> None:
        self._settings, self._several = settings, models > 1
        self._redactor = Redactor((*secrets, *environment_secrets(os.environ)))
        self._models: dict[str, TrackedModel] = {}  # by outbox path
        self._lock = threading.Lock()
        self._runs: dict[str, Mapping[str, str]] = {}
        self._registered: list[str] = []
        self._waiting: dict[str, int] = {}
        self._trouble = ""
        self._warned = False
        self._warnings: set[str] = set()
        self._writer = WriterProcess(self.on_event, os.environ, Path.cwd())

    def start_model(self, start: ModelStart) -> ModelTracker:
        register = self._settings.register
        if register and self._several:
            register = f"{register}-{start.tag}"
        model = TrackedModel(start, self._destination(start), self._redactor, register, self._news)
        if model.outbox_path is not None:
            path = str(model.outbox_path.resolve())
            with self._lock:
                self._models[path] = model
            self._open_older(model)
            self._writer.send(open=path)
        return model

    def _open_older(self, model: TrackedModel) -> None:
        """Deliver what earlier, killed runs left, where it belongs to the same store."""
        uri = self._destination(model.start).tracking_uri
        for older in model.older:
            meant = destination_of(older)
            if uri == (Journal(older).tracking_uri or meant.tracking_uri) or (
                not uri and not meant.tracking_uri and meant.directory == str(Path.cwd())
            ):
                self._writer.send(open=str(older.resolve()))
            else:
                _LOG.warning(
                    "records of an earlier run wait for another store; deliver them with: ellopt sync %s",
                    model.start.output_dir,
                )

    def quiet(self) -> AbstractContextManager[None]:
        return self._writer.quiet()

    @property
    def summary(self) -> TrackingSummary:
        with self._lock:
            runs = {model.start.tag: self._runs[path] for path, model in self._models.items() if path in self._runs}
            asked = [model.asks_for for model in self._models.values() if model.asks_for]
            registered = {text.rpartition(" version ")[0] for text in self._registered}
            missing = tuple(name for name in asked if name not in registered)
            waiting = sum(self._waiting.values())
            return TrackingSummary(runs, waiting, tuple(self._registered), missing, self._trouble)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            models = list(self._models.values())
        for model in models:
            model.interrupted()
        patience = self._settings.patience
        if patience is None:
            remote = is_server(os.environ.get("MLFLOW_TRACKING_URI", ""))
            patience = _SERVER_PATIENCE if remote else _LOCAL_PATIENCE
        if kind is not None and not issubclass(kind, (Exception, KeyboardInterrupt)):
            patience = min(patience, _LAST_PATIENCE)
        if self._models:
            self._writer.close(patience)
        else:
            self._writer.dismiss()
        with self._lock:
            self._waiting = {path: model.undelivered() for path, model in self._models.items()}
            waiting = sum(self._waiting.values())
        if waiting:
            _LOG.warning("%d records wait on disk for MLflow; deliver them with: ellopt sync DIRECTORY", waiting)

    def _destination(self, start: ModelStart) -> Destination:
        environment = os.environ
        run_id = environment.get("MLFLOW_RUN_ID", "")
        chosen = self._settings.experiment
        experiment = chosen or environment.get("MLFLOW_EXPERIMENT_NAME", "")
        return Destination(
            tracking_uri=without_credentials(environment.get("MLFLOW_TRACKING_URI", "")),
            directory=str(Path.cwd()),
            experiment=experiment or f"ellopt/{start.name}",
            experiment_id="" if chosen and not run_id else environment.get("MLFLOW_EXPERIMENT_ID", ""),
            run_id=run_id,
            nested=self._several,
        )

    def _news(self) -> None:
        self._writer.send(news=True)

    def on_event(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        path, text = str(event.get("path", "")), self._redactor.text(str(event.get("text", "")))
        if kind == "run":
            with self._lock:
                self._runs[path] = event["run"]
                model = self._models.get(path)
            if model is not None:
                model.answered(event["run"])
            self._check_params(event.get("params", {}))
        elif kind in ("trouble", "gone"):
            self._trouble = text
            for model in list(self._models.values()):
                model.answered(None)
            if not self._warned:
                self._warned = True
                _LOG.warning("MLflow takes no records now (%s); tuning goes on, they wait on disk", text)
        elif kind == "stuck":
            self._never(path, text)
        elif kind == "recovered":
            self._trouble = ""
            _LOG.info("MLflow takes records again")
        elif kind == "notice" and event.get("name") == "registered":
            with self._lock:
                self._registered.append(text)
        elif kind == "notice" and text not in self._warnings:
            self._warnings.add(text)
            _LOG.warning("MLflow: %s", text)

    def _never(self, path: str, text: str) -> None:
        """Records that MLflow will not take later either: say so at once, and what can be done."""
        model = self._models.get(path)
        if model is not None:
            self._trouble = text
            model.answered(None)
        directory = Path(path).parents[1] if model is None else model.start.output_dir
        _LOG.warning(
            "MLflow will not take these records (%s); they are kept: mend that, or send them elsewhere with "
            "'ellopt sync %s --to URI --experiment NAME'",
            text,
            directory,
        )

    def _check_params(self, params: Mapping[str, str]) -> None:
        for name, value in params.items():
            if self._redactor.text(value) != value:
                _LOG.warning(
                    "the MLflow run holds a secret in its parameter %r: delete that run, and give secrets "
                    "through the environment",
                    name,
                )
