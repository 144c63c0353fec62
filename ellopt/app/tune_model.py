"""Tuning one model: search, choose, confirm, write."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ellopt import __version__
from ellopt.app.config import TuningConfig
from ellopt.app.environment import environment, now
from ellopt.core.errors import CandidateError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.trial import Trial
from ellopt.devices.base import DevicePool
from ellopt.estimate.facts import EstimateFacts
from ellopt.files.atomic import write_text
from ellopt.files.locks import exclusive
from ellopt.frontends.base import parse_shapes, read_model, require_convolutions
from ellopt.frontends.discover import ModelFile
from ellopt.frontends.ell.profile import report_text
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.store import MeasurementStore, StoreContext
from ellopt.measure.whole_model import WholeCheck
from ellopt.model.graph import Model
from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.report.network import network_of
from ellopt.report.pictures import write_pictures
from ellopt.search.driver import search
from ellopt.search.observer import Observers, SearchObserver, SearchProgress, UntilConfirmed
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.search.warm_start import WarmStart
from ellopt.select.confirm import ASSEMBLED, BEFORE, TRIAL, UNIFORM, Confirmed, best_uniform, confirm, write_model
from ellopt.select.winners import Winners, choose_winners, without_evidence
from ellopt.space.budget import within_bytes
from ellopt.space.options_file import plan_for
from ellopt.space.space import ModelSpace, SearchSpace, narrow
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain
from ellopt.tracking import ModelStart, ModelTracker, Tracker

_LOG = logging.getLogger(__name__)

#: below the model's output directory: what an interrupted run goes on from
STATE_DIRECTORY = ".ellopt"
#: how long a run on a simulated processor may take; there is nothing that others wait for
ESTIMATE_SECONDS = 7200.0
REPORT_FILE, PAGE_FILE = "tuning_report.json", "tuning_report.html"


@dataclass(frozen=True)
class Workshop:
    """What the models of one run share."""

    config: TuningConfig
    space: SearchSpace
    target: Target
    toolchain: Toolchain
    pool: DevicePool
    tracker: Tracker
    estimate: EstimateFacts | None = None  # where times are estimates

    @property
    def error(self) -> float:
        """By what share times may be off that measuring again does not show."""
        return 0.0 if self.estimate is None else self.estimate.error


def tune_model(file: ModelFile, directory: Path, workshop: Workshop, observer: SearchObserver) -> TuningReport:
    """Tune one model and write its output files to ``directory``. Returns the report.

    The same call after an interruption goes on where it was. Raises ModelFormatError for a model that cannot be
    tuned, CandidateError if it does not even work with ELL's default options, InfrastructureError when no device
    could be used, OSError when files cannot be written, ConfigurationError while another process tunes in
    ``directory``: then nothing is written or told to the tracker.
    """
    tuning = _Tuning(file, directory, workshop, observer)
    with tuning.exclusive():
        return tuning.run()


class _Tuning:
    def __init__(self, file: ModelFile, directory: Path, workshop: Workshop, observer: SearchObserver) -> None:
        self.file, self.directory, self.workshop, self.observer = file, directory, workshop, observer
        self.config = workshop.config
        self.model = self._read()
        self.started = time.monotonic()

    def _read(self) -> Model:
        model = read_model(self.file.path, parse_shapes(self.config.input_shape))
        require_convolutions(model)
        return self.workshop.toolchain.prepare(model)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the output directory, and the one with temporary files, from the first look to the last change."""
        with ExitStack() as locks:
            for state in dict.fromkeys(((self.directory / STATE_DIRECTORY).absolute(), self._state_directory())):
                locks.enter_context(exclusive(state))
            yield

    def run(self) -> TuningReport:
        shop, config = self.workshop, self.config
        space = narrow(shop.space, shop.toolchain.layers(self.model), shop.toolchain, shop.target)
        if shop.toolchain.packs_weights:
            space = within_bytes(space)
        state = self._state_directory()
        measurer = DeviceMeasurer(
            self.model,
            shop.toolchain,
            shop.pool,
            shop.target,
            state / "bundles",
            MeasureSettings(
                parallel_build=config.parallel_build,
                board_timeout=config.board_timeout,
                visit_spacing=config.visit_spacing,
                run_limit=ESTIMATE_SECONDS if shop.estimate else MeasureSettings.run_limit,
            ),
        )
        identity = self._identity(measurer.board())
        tracker = shop.tracker.start_model(self._start(identity, measurer.board(), space))
        shown = UntilConfirmed(self.observer)
        try:
            result = search(
                space,
                measurer,
                self._search_settings(),
                state / "search",
                Observers((shown, _Tracked(tracker, self.model))),
                name=self.file.tag,
                identity=identity,
                warm_start=self._warm_start(measurer.board()),
            )
            check = WholeCheck(measurer.output_errors, space.default_plan)
            winners = _sound_winners(result, check, shop.error)
            candidates = _candidates(space, result, winners)
            unsound = check.unsound(list(candidates.values()))
            candidates = {name: plan for name, plan in candidates.items() if plan not in unsound}
            if result.emulated and not config.accept_emulated_timings:
                winners = without_evidence(winners)
                candidates = {ASSEMBLED: winners.plan, BEFORE: winners.plan}
            confirmed = confirm(measurer, candidates, error=shop.error)
            report = self._write(space, result, winners, confirmed, tracker)
        except Exception as error:
            tracker.failed_model(str(error))
            raise
        except BaseException:
            tracker.interrupted()  # now: without the lock it would be written into the records of whoever goes on
            raise
        pictures = self._pictures(report, state / "plots") if config.mlflow else ()
        tracker.finish_model(report, self.directory, self.model.input_ports[0].shape, extra=pictures)
        shutil.rmtree(state / "bundles", ignore_errors=True)
        shown.finish()
        return report

    def _pictures(self, report: TuningReport, directory: Path) -> tuple[Path, ...]:
        """Pictures for MLflow's artifacts. They stay until the tracker has delivered them."""
        try:
            return write_pictures(report, directory)
        except OSError as error:
            _LOG.warning("the pictures of %s could not be written: %s", self.file.tag, error)
            return ()

    def _state_directory(self) -> Path:
        parent = self.directory if self.config.temp_dir is None else self.config.temp_dir / self.file.tag
        return (parent / STATE_DIRECTORY).absolute()

    def _search_settings(self) -> SearchSettings:
        config = self.config
        return SearchSettings(
            sampler=self._sampler,
            trials=config.trials,
            timeout=config.timeout,
            seed=config.seed,
            tolerance=config.tolerance,
            repeat=self.workshop.estimate is None,
        )

    @property
    def _sampler(self) -> str:
        """Estimates do not differ from one time to the next: each variant once is all that there is to know."""
        if self.workshop.estimate is not None and self.config.sampler == "auto":
            return "grid"
        return self.config.sampler

    def _identity(self, board: str) -> str:
        """All that measurements are of: kept ones count only where it is the same."""
        facts = {
            "model": self.model.archive.sha256,
            **({"inputs": [port.shape for port in self.model.inputs]} if self.model.inputs else {}),
            "target": self.workshop.target.name,
            "threads": self.workshop.target.cores,
            "toolchain": [self.workshop.toolchain.name, self.workshop.toolchain.version],
            "board": board,
            "emulated": self.workshop.pool.emulated,
        }
        return json.dumps(facts, sort_keys=True)

    def _warm_start(self, board: str) -> WarmStart:
        shop = self.workshop
        context = StoreContext(
            shop.target.name,
            shop.toolchain.name,
            shop.toolchain.version,
            board,
            shop.pool.emulated,
            shop.target.cores,
        )
        return WarmStart(MeasurementStore.default(), context, use=self.config.warm_start)

    def _start(self, identity: str, board: str, space: ModelSpace) -> ModelStart:
        config = self.config
        return ModelStart(
            name=self.file.name,
            tag=self.file.tag,
            output_dir=self.directory,
            target=self.workshop.target.name,
            toolchain=self.workshop.toolchain.name,
            sampler=self._sampler,
            board_kind=board,
            identity=identity,
            params={
                "options_file": Path(space.options_file).name,
                "seed": str(config.seed),
                "threads": str(self.workshop.target.cores),
                "distinct_variants": str(space.distinct),
                "model_file": self.file.path.name,
                **({"estimated": self.workshop.estimate.label} if self.workshop.estimate else {}),
                **self.workshop.toolchain.parameters(),
            },
        )

    def _write(
        self, space: ModelSpace, result: SearchResult, winners: Winners, confirmed: Confirmed, tracker: ModelTracker
    ) -> TuningReport:
        shop = self.workshop
        written = write_model(
            self.directory,
            self.model,
            self.file.name,
            confirmed.plan,
            winners.ell_plan(confirmed.plan),
            shop.target,
            own=shop.toolchain.own_options,
            estimated=shop.estimate.label if shop.estimate else "",
        )
        if shop.toolchain.gives_outputs:
            self._check_written(self.directory / written.model, confirmed.plan)
        further = shop.toolchain.output_files(confirmed.plan)
        for name, text in further.items():
            write_text(self.directory / name, text)
        nodes_ms = _node_medians(result) | {layer.node_id: layer.winner_ms for layer in winners.layers}
        report = TuningReport(
            model=self.file.name,
            tag=self.file.tag,
            model_path=str(self.file.path),
            model_sha256=self.model.archive.sha256,
            target=shop.target.name,
            toolchain=shop.toolchain.name,
            toolchain_version=shop.toolchain.version,
            emulated=result.emulated,
            estimate=shop.estimate,
            sampler=self._sampler,
            seed=self.config.seed,
            ellopt_version=__version__,
            created=now(),
            environment=environment(result.board, shop.target.cores),
            space=space.report(),
            layers=winners.layers,
            trials=result.trials,
            confirmation=confirmed.confirmation,
            cost=replace(result.cost, wall_seconds=time.monotonic() - self.started),
            boards=result.boards,
            mlflow_run=dict(tracker.mlflow_run),
            files=(*written.names, *further, REPORT_FILE, PAGE_FILE),
            nodes=network_of(self.model, nodes_ms, shop.toolchain.fused_into(self.model)),
        )
        write_text(self.directory / REPORT_FILE, report.to_json())
        write_text(self.directory / PAGE_FILE, render(report))
        return report

    def _check_written(self, path: Path, plan: Plan) -> None:
        """Read what was written, build it and compare its outputs. Raises CandidateError; the file is then gone."""
        shop = self.workshop
        model = shop.toolchain.prepare(read_model(path, parse_shapes(self.config.input_shape)))
        measurer = DeviceMeasurer(model, shop.toolchain, shop.pool, shop.target, self._state_directory() / "bundles")
        try:
            if plan_for(model) != plan:
                raise CandidateError(f"{path}: its options are not those that were chosen")
            if WholeCheck(measurer.output_errors, self._default(model)).unsound([plan]):
                raise CandidateError(f"{path}: its output is wrong")
        except CandidateError:
            path.unlink(missing_ok=True)
            raise

    def _default(self, model: Model) -> Plan:
        """ELL's default for every layer, as the toolchain computes it."""
        shop = self.workshop
        return narrow(shop.space, shop.toolchain.layers(model), shop.toolchain, shop.target).default_plan


class _Tracked:
    """Hands what a search tells to the tracker, trials with their profile report in ELL's form."""

    def __init__(self, tracker: ModelTracker, model: Model) -> None:
        self._tracker, self._model = tracker, model

    def trial_finished(self, trial: Trial) -> None:
        files = {} if trial.samples is None else {"profile_report.txt": report_text(self._model, trial.samples)}
        self._tracker.trial_finished(trial, files)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self._tracker.trials_resumed(trials)

    def state_changed(self, progress: SearchProgress) -> None:
        self._tracker.state_changed(progress)


def _sound_winners(result: SearchResult, check: WholeCheck, error: float) -> Winners:
    """The winners, without options that make the whole model's output wrong."""
    winners = choose_winners(result, error=error)
    rejected: dict[ConvolutionShape, frozenset[ConvolutionOptions]] = {}
    layers = {layer.node_id: layer for layer in result.space.layers}
    while blamed := check.blame(winners.plan):
        for node_id in blamed:
            layer, options = layers[node_id], winners.plan[node_id]
            _LOG.warning("node %s: with %s the whole model's output is wrong; another is taken", node_id, options)
            rejected[layer.shape] = rejected.get(layer.shape, frozenset()) | {options}
        winners = choose_winners(result, rejected, error)
    return winners


def _candidates(space: ModelSpace, result: SearchResult, winners: Winners) -> dict[str, Plan]:
    """The whole models worth comparing at the end."""
    candidates = {ASSEMBLED: winners.plan, BEFORE: space.default_plan}
    uniform = best_uniform(space, _estimates(space, result))
    if uniform is not None:
        candidates[UNIFORM] = uniform
    measured = {t.plan: t.samples for t in result.trials if t.samples is not None and len(t.samples.total_ms) > 1}
    if measured:
        candidates[TRIAL] = min(measured, key=lambda plan: float(np.median(measured[plan].total_ms)))
    return candidates


def _estimates(space: ModelSpace, result: SearchResult) -> dict[str, dict[ConvolutionOptions, float]]:
    """Node id -> options -> estimated milliseconds, for what was measured."""
    by_shape = {
        shape: {options: estimate.ms for options, estimate in result.evidence.estimates(shape).items()}
        for shape in space.by_shape
    }
    return {layer.node_id: by_shape[layer.shape] for layer in space.layers}


def _node_medians(result: SearchResult) -> dict[str, float]:
    """Median milliseconds over all trials, by node, of what is no convolution."""
    samples: dict[str, list[float]] = {}
    for trial in result.trials:
        if trial.samples is not None:
            for node_id, values in trial.samples.nodes_ms.items():
                samples.setdefault(node_id, []).extend(values)
    return {node_id: float(np.median(values)) for node_id, values in samples.items() if values}
