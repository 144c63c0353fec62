"""Tuning from end to end: wires model, space, toolchain, devices, search, tracking and reports together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from ellopt.app.boards import open_places, sent_tunings
from ellopt.app.config import TuningConfig
from ellopt.app.estimating import facts_of, simulator_for
from ellopt.app.finished import STATE_DIRECTORY, command_digest, finished_before
from ellopt.app.precision import allowed_precisions
from ellopt.app.shared import SharedParts
from ellopt.app.tune_model import tune_model
from ellopt.core.errors import ConfigurationError, ElloptError
from ellopt.files.atomic import make_directory
from ellopt.files.full_disk import disk_full, is_full
from ellopt.frontends.base import Shapes
from ellopt.frontends.discover import ModelFile, discover
from ellopt.frontends.input_shapes import parse_shapes, shared_out
from ellopt.measure.executors import make_executor
from ellopt.report.document import TuningReport
from ellopt.search.observer import Display
from ellopt.space.space import SearchSpace, find_options_file
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.registry import make_toolchain
from ellopt.tracking import QuietPool, TrackingSummary, open_tracking

_LOG = logging.getLogger(__name__)

#: names of models that are longer together, in characters, are counted instead
_LONGEST_TASK = 80
_EMULATED = (
    "emulated: this checks that the code computes the right thing; times will not choose, every layer keeps ELL's "
    "default. A board's --ipaddress, or --estimate for most boards, tunes"
)
_EMULATED_CHOOSES = "emulated: times choose, as asked for, but they say nothing of a board"


@dataclass(frozen=True)
class ModelOutcome:
    """What became of one model: a report and where it lies, or why there is none. ``before``: the same command had
    finished it, and nothing was done."""

    file: ModelFile
    directory: Path
    report: TuningReport | None = None
    error: ElloptError | OSError | None = None
    before: bool = False


@dataclass(frozen=True)
class TuningOutcome:
    """What became of all models, in the order in which they were found."""

    models: tuple[ModelOutcome, ...]
    tracking: TrackingSummary


def tune(config: TuningConfig, display: Display) -> TuningOutcome:
    """Tune every model that ``config`` names but those that the same command has finished before, unless ``again`` is
    set. A model that fails does not keep the others from being tuned.

    Raises ConfigurationError for settings with which no model can be tuned.
    """
    files = discover(config.models.model_path, config.models.models)
    shares = shared_out(parse_shapes(config.shapes.input_shape), [(file.tag, file.path) for file in files])
    shapes = {file.tag: share for file, share in zip(files, shares, strict=True)}
    target = config.target.find()
    space = allowed_precisions(SearchSpace.load(find_options_file(config.options_file)), config, target)
    toolchain = make_toolchain(config.build, config.toolchains, target)
    _make_directory(config.models.output_path)
    before = {} if config.models.again else _before(files, config, space, toolchain, shapes)
    order = [file.tag for file in files]
    done = [before[file.tag] for file in files if file.tag in before]
    files = [file for file in files if file.tag not in before]
    if not files:
        return TuningOutcome(tuple(done), TrackingSummary())
    simulator = simulator_for(config, target)
    devices = replace(config.devices, job_name=task_name(config, files), simulator=simulator)
    with (
        open_places(config, devices, target) as pool,
        open_tracking(config.tracking, len(files), config.secrets) as tracker,
    ):
        if pool.emulated and simulator is None:
            _LOG.warning(_EMULATED_CHOOSES if config.measure.accept_emulated_timings else _EMULATED)
        estimate = None if simulator is None else facts_of(simulator)
        quiet = pool if config.fleet.meant else QuietPool(pool, tracker.quiet)
        sent = sent_tunings(config, pool, len(files))
        shared = SharedParts(config, space, target, toolchain, quiet, tracker, estimate, shapes, sent)
        tuned = _tune_all(files, shared, display)
    outcomes = tuple(sorted((*done, *tuned), key=lambda outcome: order.index(outcome.file.tag)))
    return TuningOutcome(outcomes, tracker.summary)


def _before(
    files: Sequence[ModelFile],
    config: TuningConfig,
    space: SearchSpace,
    toolchain: Toolchain,
    shapes: Mapping[str, Shapes],
) -> dict[str, ModelOutcome]:
    """Tag -> what the same command has finished."""
    found = {}
    for file in files:
        directory, shape = config.models.output_path / file.tag, shapes.get(file.tag, {})
        command = command_digest(config, space, toolchain, shape)
        report = finished_before(directory / STATE_DIRECTORY, directory, file, shape, command)
        if report is not None:
            found[file.tag] = ModelOutcome(file, directory, report, before=True)
    return found


def _make_directory(path: Path) -> None:
    """Make the output directory now rather than after an hour. Raises ConfigurationError."""
    try:
        make_directory(path)
    except OSError as error:
        raise ConfigurationError(
            f"--output_path: {path} cannot be made a directory ({error.strerror}); give another one"
        ) from error


def task_name(config: TuningConfig, files: list[ModelFile]) -> str:
    """What others who want a board that we hold are told: whose models, for what, and how many trials there may be.

    A lock serves many variants, so it names none.
    """
    models = ", ".join(file.tag for file in files)
    if len(models) > _LONGEST_TASK:
        models = f"{len(files)} models"
    trials = f", up to {config.search.trials} trials" if config.search.trials is not None else ""
    return f"ellopt: {models} for {config.target.target}{trials}"


@dataclass(frozen=True)
class _Site:
    """What the models of a run share at the place where they are tuned."""

    shared: SharedParts
    display: Display


@dataclass(frozen=True)
class TuneTask:
    """The tuning of one model as a value that an executor runs."""

    file: ModelFile

    def run(self, site: _Site) -> ModelOutcome:
        return _tune_one(self.file, site.shared, site.display)


def _tune_all(files: list[ModelFile], shared: SharedParts, display: Display) -> tuple[ModelOutcome, ...]:
    site = _Site(shared, display)
    at_once = shared.config.models.concurrent_models
    if shared.sent_tunings is not None:
        at_once = max(at_once, shared.sent_tunings.capacity)
    executor = make_executor("", site, min(at_once, len(files)))
    futures: list[Future[ModelOutcome]] = []
    try:
        for file in files:
            futures.append(executor.submit(TuneTask(file)))
        return tuple(future.result() for future in futures)
    except BaseException as error:
        for future in futures:
            future.cancel()
        if not isinstance(error, Exception):  # interrupted: what runs on boards is not waited for
            shared.pool.close()
        raise
    finally:
        executor.rest()


def _tune_one(file: ModelFile, shared: SharedParts, display: Display) -> ModelOutcome:
    directory = shared.config.models.output_path / file.tag
    try:
        report = tune_model(file, directory, shared, display.for_model(file.tag))
    except (ElloptError, OSError) as error:
        _LOG.debug("%s failed", file.tag, exc_info=True)
        if isinstance(error, OSError) and is_full(error):
            error = disk_full(error, directory)
        return ModelOutcome(file, directory, error=error)
    return ModelOutcome(file, directory, report)
