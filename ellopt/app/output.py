"""What a tuned model's output directory holds: the model, its options, the report. Read back and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ellopt import __version__
from ellopt.app.environment import environment, now
from ellopt.app.shared import SharedParts
from ellopt.core.errors import CandidateError
from ellopt.core.plan import Plan
from ellopt.files.atomic import write_text
from ellopt.frontends import base as frontends
from ellopt.frontends.discover import ModelFile
from ellopt.measure.accuracy import Accuracy
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.whole_model import WholeCheck
from ellopt.model.graph import Model
from ellopt.model.same import same_computation
from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.report.network import network_of
from ellopt.search.result import SearchResult
from ellopt.select.confirm import Confirmed, OutputFiles, write_model
from ellopt.select.decisions import LayerReport
from ellopt.select.winners import Winners
from ellopt.space.options_file import plan_for
from ellopt.space.space import ModelSpace, narrow

REPORT_FILE, PAGE_FILE = "tuning_report.json", "tuning_report.html"


@dataclass(frozen=True)
class Tuned:
    """What tuning a model came to, after ``seconds``."""

    file: ModelFile
    model: Model
    space: ModelSpace
    result: SearchResult
    winners: Winners
    confirmed: Confirmed
    seconds: float
    accuracy: Accuracy | None = None

    @property
    def ell_plan(self) -> Plan:
        """What the written model tells ELL."""
        return self.winners.ell_plan(self.confirmed.plan)


def write_output(
    tuned: Tuned, shared: SharedParts, directory: Path, bundles: Path, mlflow_run: Mapping[str, str]
) -> TuningReport:
    """Write the tuned model and the report of its tuning to ``directory``. As ``write_checked``."""
    written = write_checked(tuned, shared, directory, bundles)
    report = replace(report_of(tuned, shared), mlflow_run=dict(mlflow_run))
    return _write_report(directory, report, written, tuned.confirmed.plan, shared)


def write_checked(tuned: Tuned, shared: SharedParts, directory: Path, bundles: Path) -> OutputFiles:
    """Write the tuned model to ``directory``.

    What was written is read again and, where that is another network, built in ``bundles`` and run. Raises
    CandidateError, without the model's file, if its options or outputs are not those that were chosen; OSError.
    """
    plan = tuned.confirmed.plan
    written = _write_model(directory, tuned.file, tuned.model, plan, tuned.ell_plan, shared)
    if shared.toolchain.gives_outputs:
        _check_written(directory / written.model, tuned, shared, bundles)
    return written


def report_of(tuned: Tuned, shared: SharedParts) -> TuningReport:
    """The report of a tuning whose files are not written yet."""
    file, model, result, confirmed = tuned.file, tuned.model, tuned.result, tuned.confirmed
    nodes_ms = _node_medians(result) | {layer.node_id: layer.winner_ms for layer in tuned.winners.layers}
    return TuningReport(
        model=file.name,
        tag=file.tag,
        model_path=str(file.path),
        model_sha256=model.source.sha256,
        target=shared.target.name,
        toolchain=shared.toolchain.name,
        toolchain_version=shared.toolchain.version,
        emulated=result.emulated,
        estimate=shared.estimate,
        sampler=shared.search.sampler,
        seed=shared.config.search.seed,
        ellopt_version=__version__,
        created=now(),
        environment=environment(result.board, shared.target.cores),
        space=tuned.space.report(),
        layers=_layers(tuned),
        trials=result.trials,
        confirmation=confirmed.confirmation,
        cost=replace(result.cost, wall_seconds=tuned.seconds),
        boards=result.boards,
        accuracy=tuned.accuracy,
        nodes=network_of(model, nodes_ms, shared.toolchain.fused_into(model)),
    )


def _layers(tuned: Tuned) -> tuple[LayerReport, ...]:
    """The reports of the layers; of a model that is not ELL's, without what it would tell ELL."""
    layers = tuned.winners.layers
    if frontends.tuned_suffix(tuned.model) == ".ell":
        return layers
    return tuple(replace(layer, ell_options=None) for layer in layers)


def write_believed(
    report: TuningReport, ell_plan: Plan, model: Model, file: ModelFile, shared: SharedParts, directory: Path
) -> TuningReport:
    """Write the model with the options that ``report`` says were chosen, and the report, to ``directory``.

    ``ell_plan`` is what the model tells ELL. Raises CandidateError, without the model's file, if what was written has
    other options; OSError.
    """
    assert report.confirmation.written is not None
    plan = report.confirmation.written.plan
    written = _write_model(directory, file, model, plan, ell_plan, shared)
    path = directory / written.model
    if plan_for(shared.read(path, file)) != plan:
        path.unlink(missing_ok=True)
        raise CandidateError(f"{path}: its options are not those that were chosen")
    return _write_report(directory, report, written, plan, shared)


def _write_model(
    directory: Path, file: ModelFile, model: Model, plan: Plan, ell_plan: Plan, shared: SharedParts
) -> OutputFiles:
    return write_model(
        directory,
        model,
        file.name,
        plan,
        ell_plan,
        shared.target,
        own=shared.toolchain.own_options,
        estimated=shared.estimate.label if shared.estimate else "",
    )


def _write_report(
    directory: Path, report: TuningReport, written: OutputFiles, plan: Plan, shared: SharedParts
) -> TuningReport:
    further = shared.toolchain.output_files(plan)
    for name, text in further.items():
        write_text(directory / name, text)
    report = replace(report, files=(*written.names, *further, REPORT_FILE, PAGE_FILE))
    write_text(directory / REPORT_FILE, report.to_json())
    write_text(directory / PAGE_FILE, render(report))
    return report


def _check_written(path: Path, tuned: Tuned, shared: SharedParts, bundles: Path) -> None:
    """Read what was written. The outputs of the model that was tuned were compared with these options; where it is
    another one, to the bit, build it and compare its own. Raises CandidateError; the file is then gone."""
    model, plan = shared.read(path, tuned.file), tuned.confirmed.plan
    if plan_for(model) == plan and same_computation(model, tuned.model):
        return
    config = shared.config
    measurer = DeviceMeasurer(
        model, shared.toolchain, shared.pool, shared.target, bundles, shared.measure, config.build
    )
    default = narrow(shared.space, shared.toolchain.layers(model), shared.toolchain, shared.target).default_plan
    try:
        if plan_for(model) != plan:
            raise CandidateError(f"{path}: its options are not those that were chosen")
        if WholeCheck(measurer.output_errors, default).unsound([plan]):
            raise CandidateError(f"{path}: its output is wrong")
    except CandidateError:
        path.unlink(missing_ok=True)
        raise


def _node_medians(result: SearchResult) -> dict[str, float]:
    """Median milliseconds over all trials, by node, of what is no convolution."""
    samples: dict[str, list[float]] = {}
    for trial in result.trials:
        if trial.samples is not None:
            for node_id, values in trial.samples.nodes_ms.items():
                samples.setdefault(node_id, []).extend(values)
    return {node_id: float(np.median(values)) for node_id, values in samples.items() if values}
