"""Tuning from end to end: wires model, space, toolchain, devices, search, tracking and reports together."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from ellopt.app.config import TuningConfig
from ellopt.app.estimating import facts_of, simulator_for
from ellopt.app.tune_model import Workshop, tune_model
from ellopt.app.wiring import make_toolchain
from ellopt.core.errors import ConfigurationError, ElloptError, ModelFormatError
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.files.atomic import make_directory
from ellopt.files.full_disk import disk_full, is_full
from ellopt.frontends.discover import ModelFile, discover
from ellopt.measure.executors import make_executor
from ellopt.report.document import TuningReport
from ellopt.search.observer import Display
from ellopt.space.space import SearchSpace, find_options_file
from ellopt.targets import Target, find_target
from ellopt.tracking import QuietPool, TrackingConfig, TrackingSummary, open_tracking

_LOG = logging.getLogger(__name__)

#: names of models that are longer together, in characters, are counted instead
_LONGEST_TASK = 80


@dataclass(frozen=True)
class ModelOutcome:
    """What became of one model: a report and where it lies, or why there is none."""

    file: ModelFile
    directory: Path
    report: TuningReport | None = None
    error: ElloptError | OSError | None = None


@dataclass(frozen=True)
class TuningOutcome:
    """What became of all models, in the order in which they were found."""

    models: tuple[ModelOutcome, ...]
    tracking: TrackingSummary

    @property
    def exit_code(self) -> int:
        """0: all tuned, and registered if asked for; 2: the user can mend what failed; 1: something else failed."""
        errors = [model.error for model in self.models if model.error is not None]
        if not errors:
            return 1 if self.tracking.unregistered else 0
        return 2 if any(isinstance(error, (ConfigurationError, ModelFormatError)) for error in errors) else 1


def tune(config: TuningConfig, display: Display) -> TuningOutcome:
    """Tune every model that ``config`` names. A model that fails does not keep the others from being tuned.

    Raises ConfigurationError for settings with which no model can be tuned.
    """
    files = discover(config.model_path, config.models)
    target = _target(config)
    space = SearchSpace.load(find_options_file(config.options_file))
    toolchain = make_toolchain(config)
    _make_directory(config.output_path)
    simulator = simulator_for(config, target)
    devices = replace(device_settings(config, task_name(config, files)), simulator=simulator)
    tracking = TrackingConfig(
        enabled=config.mlflow,
        models=len(files),
        secrets=config.secrets,
        register=config.register or "",
        experiment=config.experiment or "",
    )
    with (
        open_pool(devices, target) as pool,
        open_tracking(tracking) as tracker,
    ):
        estimate = None if simulator is None else facts_of(simulator)
        workshop = Workshop(config, space, target, toolchain, QuietPool(pool, tracker.quiet), tracker, estimate)
        outcomes = _tune_all(files, workshop, display)
    return TuningOutcome(outcomes, tracker.summary)


def _target(config: TuningConfig) -> Target:
    cores = find_target(config.target).cores
    if config.threads is not None and config.threads > cores:
        raise ConfigurationError(f"--threads: {config.target} has {cores} cores, not {config.threads}")
    return find_target(config.target, config.threads)


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
    trials = f", up to {config.trials} trials" if config.trials is not None else ""
    return f"ellopt: {models} for {config.target}{trials}"


def device_settings(config: TuningConfig, task: str) -> DeviceSettings:
    """What the device layer needs of the settings. ``task`` is for others who want the same boards."""
    return DeviceSettings(
        ipaddresses=config.ipaddress,
        ssh_port=config.ssh_port,
        username=config.username,
        password=config.password,
        key_files=() if config.key_file is None else (config.key_file,),
        accept_new_host_keys=config.accept_new_host_keys,
        cluster=config.cluster,
        apikey=config.apikey,
        allow_insecure_cluster=config.allow_insecure_cluster,
        platform_regex=config.platform_regex,
        parallel_run=config.parallel_run,
        emulate=config.emulate,
        board_timeout=config.board_timeout,
        remote_dir=config.remote_dir,
        fix_frequency=config.fix_frequency,
        job_name=task,
    )


@dataclass(frozen=True)
class _Site:
    """What the models of a run share at the place where they are tuned."""

    workshop: Workshop
    display: Display


@dataclass(frozen=True)
class TuneTask:
    """The tuning of one model as a value that an executor runs."""

    file: ModelFile

    def run(self, site: _Site) -> ModelOutcome:
        return _tune_one(self.file, site.workshop, site.display)


def _tune_all(files: list[ModelFile], workshop: Workshop, display: Display) -> tuple[ModelOutcome, ...]:
    executor = make_executor("", _Site(workshop, display), min(workshop.config.concurrent_models, len(files)))
    futures: list[Future[ModelOutcome]] = []
    try:
        for file in files:
            futures.append(executor.submit(TuneTask(file)))
        return tuple(future.result() for future in futures)
    except BaseException as error:
        for future in futures:
            future.cancel()
        if not isinstance(error, Exception):  # interrupted: what runs on boards is not waited for
            workshop.pool.close()
        raise
    finally:
        executor.rest()


def _tune_one(file: ModelFile, workshop: Workshop, display: Display) -> ModelOutcome:
    directory = workshop.config.output_path / file.tag
    try:
        report = tune_model(file, directory, workshop, display.for_model(file.tag))
    except (ElloptError, OSError) as error:
        _LOG.debug("%s failed", file.tag, exc_info=True)
        if isinstance(error, OSError) and is_full(error):
            error = disk_full(error, directory)
        return ModelOutcome(file, directory, error=error)
    return ModelOutcome(file, directory, report)
