"""Has models tuned as a whole by workers of a fleet: their results are believed as far as they can be."""

from __future__ import annotations

import base64
import json
import pickle
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from ellopt.app.config import TuningConfig
from ellopt.app.find import SEARCH_DIRECTORY, Subject
from ellopt.app.output import write_believed
from ellopt.app.shared import SharedParts
from ellopt.app.worker_tuning import KEPT, WorkerTuned, WorkerTuning
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.plan import Plan
from ellopt.core.settings import OwnGroups
from ellopt.core.trial import Trial
from ellopt.devices.settings import DeviceSettings
from ellopt.files.atomic import set_aside
from ellopt.files.json_text import JsonLimits
from ellopt.files.json_values import parse_object
from ellopt.measure.executors.dask.fleet import Errand
from ellopt.measure.executors.dask.offer import our_version, tuning_resource
from ellopt.measure.executors.dask.pool import FleetPool
from ellopt.measure.executors.dask.values import from_json
from ellopt.measure.executors.dask.work import Order
from ellopt.report.document import TuningReport
from ellopt.search.observer import SearchObserver, SearchProgress
from ellopt.select.winners import ell_can
from ellopt.tracking import ModelTracker

_LIMITS = JsonLimits(values=20_000_000)


class SentTunings:
    """Tunings run at workers; this process keeps what they find out, tells MLflow, and writes the files."""

    def __init__(self, pool: FleetPool) -> None:
        self._pool = pool

    @property
    def capacity(self) -> int:
        """How many models can be tuned at once."""
        return self._pool.tunings

    def tune(
        self, subject: Subject, shared: SharedParts, observer: SearchObserver, state: Path, directory: Path,
        tracker: ModelTracker,
    ) -> TuningReport:  # fmt: skip
        """As it would be tuned here, going on from what is kept in ``state``, with its files in ``directory``.

        Raises as ``tune_model``.
        """
        work = uuid.uuid4().hex
        task = WorkerTuning(
            work, subject, _plain(shared.config), shared.space, shared.target, shared.toolchain, shared.shapes
        )
        hearer = _Hearer(state / SEARCH_DIRECTORY, observer)
        with self._pool.listener.to(work, hearer) as hearing:
            order = Order(pickle.dumps(task), "")
            errand = Errand(order, tuning_resource(our_version()), lambda answer: answer.result_of(task, shared.target))
            self._pool.fleet.ask(errand)
            done: WorkerTuned = errand.result.result()
            hearing.end(done.news)
        try:
            report = believed(done, hearer.trials, subject, shared)
        except (ValueError, ConfigurationError) as error:
            raise InfrastructureError(f"a worker tuned {subject.file.tag} to what cannot be: {error}") from error
        report = replace(report, mlflow_run=dict(tracker.mlflow_run))
        return write_believed(report, done.ell_plan, subject.model, subject.file, shared, directory)


def _plain(config: TuningConfig) -> TuningConfig:
    """``config`` without what is nobody's business elsewhere: boards, databases, certificates, their secrets."""
    return replace(
        config,
        devices=DeviceSettings(board_timeout=config.devices.board_timeout),
        measure=replace(config.measure, own=OwnGroups(), samples=None),
        search=replace(config.search, store=None, storage=None),
    )


class _Hearer:
    """Keeps what a tuning elsewhere says in ``directory``, as a search here would, and tells ``observer``."""

    def __init__(self, directory: Path, observer: SearchObserver) -> None:
        self._directory, self._observer = directory, observer
        self.trials: dict[int, Trial] = {}

    def begin(self) -> bytes:
        self.trials.clear()
        self._directory.mkdir(parents=True, exist_ok=True)
        there = [path for name in KEPT if (path := self._directory / name).is_file()]
        return json.dumps({path.name: base64.b64encode(path.read_bytes()).decode() for path in there}).encode()

    def hear(self, text: str) -> None:
        said = parse_object(text.encode(), _LIMITS)
        if "file" in said:
            self._grow(said)
        elif "trial" in said:
            trial = from_json(Trial, said["trial"])
            if trial.number in self.trials:
                raise ValueError(f"trial {trial.number} ended twice")
            self.trials[trial.number] = trial
            self._observer.trial_finished(trial)
        elif "resumed" in said:
            trials = from_json(tuple[Trial, ...], said["resumed"])
            self.trials = {trial.number: trial for trial in trials}
            self._observer.trials_resumed(trials)
        elif "progress" in said:
            self._observer.state_changed(from_json(SearchProgress, said["progress"]))
        else:
            raise ValueError("it says nothing that is known")

    def _grow(self, said: dict[str, Any]) -> None:
        name, at, data = said["file"], said.get("at"), said.get("data")
        if name not in KEPT or not isinstance(data, str):
            raise ValueError("a file that no search keeps")
        added = base64.b64decode(data, validate=True)
        for line in added.splitlines():
            parse_object(line, _LIMITS)
        path = self._directory / name
        size = path.stat().st_size if path.exists() else 0
        if at == 0 and size:
            set_aside(path)
        elif at != size:
            raise ValueError(f"{name} goes on at {at!r}, not at {size}")
        with path.open("ab") as file:
            file.write(added)


def believed(done: WorkerTuned, trials: dict[int, Trial], subject: Subject, shared: SharedParts) -> TuningReport:
    """The report of a worker, with the trials that it told of, as of ``subject``.

    Raises ValueError or ConfigurationError for what cannot be a report of its tuning.
    """
    space, file = subject.space, subject.file
    report = TuningReport.read(done.report.encode(), file.tag)
    if (report.model_sha256, report.target, report.toolchain) != (
        subject.model.source.sha256, shared.target.name, shared.toolchain.name,
    ):  # fmt: skip
        raise ValueError("it is of another model, target or toolchain")
    known = {layer.node_id: {*layer.variants, layer.default} for layer in space.layers}
    if [layer.node_id for layer in report.layers] != list(known):
        raise ValueError("it is of other layers")
    written = report.confirmation.written
    if written is None:
        raise ValueError("it has chosen nothing")
    _require_known(known, written.plan, "chosen")
    for layer in report.layers:
        if layer.winner not in known[layer.node_id]:
            raise ValueError(f"layer {layer.node_id} is won by {layer.winner}, which nobody asked for")
    for own in space.layers:
        if own.node_id not in done.ell_plan or not ell_can(own.shape, done.ell_plan[own.node_id]):
            raise ValueError(f"layer {own.node_id}: ELL cannot do what it is told")
    if {trial.number: trial.plan for trial in report.trials} != {n: trial.plan for n, trial in trials.items()}:
        raise ValueError("its trials are not those that it told of")
    for trial in trials.values():
        _require_known(known, trial.plan, f"tried in trial {trial.number}")
    return replace(
        report, model=file.name, tag=file.tag, model_path=str(file.path), space=space.report(), estimate=None,
        trials=tuple(trials[trial.number] for trial in report.trials),
    )  # fmt: skip


def _require_known(known: dict[str, Any], plan: Plan, what: str) -> None:
    if set(plan) != set(known) or any(options not in known[node_id] for node_id, options in plan.items()):
        raise ValueError(f"options that were {what} are not in the space")
