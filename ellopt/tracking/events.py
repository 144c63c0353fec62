"""What tracking is told when a model's tuning begins, and the records that a tuning run's events become.

Names are chosen for MLflow's own views, and say what a value is. Of a trial, ``<id> <name>`` are the parameters
and axes of parallel coordinates, and ``trial_ms/<id> <name>`` what its samples came to, also in the parent's charts
over trials. Of the parent, ``winner.<id> <name>`` is the choice, ``winner_ms/...`` and ``default_ms/...`` what all
samples say of it. ``latency_ms`` comes first, because what comes first is what MLflow shows and compares unasked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ellopt import __version__
from ellopt.core.options import ConvolutionOptions
from ellopt.core.trial import Trial, TrialState
from ellopt.report.document import TuningReport
from ellopt.select.decisions import WholeModel
from ellopt.tracking.codes import code
from ellopt.tracking.record import Record, Status
from ellopt.tracking.summary import gain_of, plan_table
from ellopt.tracking.views import TUNED

_STATUS: dict[TrialState, Status] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
_MAX_NAME = 250
_MAX_LAYER_NAME = 40
_MAX_TAG = 4900  # MLflow's own limit, less room for databases with shorter columns


@dataclass(frozen=True)
class ModelStart:
    """A model whose tuning begins. ``params`` are further facts worth comparing between runs (seed, options file).

    ``identity`` tells one piece of work from another: a run that was interrupted is continued only if it is equal.
    It should hold the hash of the model and whatever else decides the search.
    """

    name: str
    tag: str
    output_dir: Path
    target: str
    toolchain: str
    sampler: str
    board_kind: str
    identity: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    layer_names: Mapping[str, str] = field(default_factory=dict)  # by node id

    def label(self, node_id: str) -> str:
        """A layer as a part of the name of an MLflow metric or parameter: its id, and the name that people know."""
        known = name(self.layer_names.get(node_id, ""))[:_MAX_LAYER_NAME].strip()
        return name(f"{node_id} {known}") if self.layer_names.get(node_id) else name(node_id)

    @property
    def full_identity(self) -> str:
        return " | ".join((self.identity, self.name, self.tag, self.target, self.toolchain, self.sampler))

    @property
    def run_name(self) -> str:
        return f"{self.tag} on {self.target}"

    def tags(self) -> dict[str, str]:
        """The tags that the parent run and every nested run carry."""
        return {
            "model": self.name,
            "target": self.target,
            "toolchain": self.toolchain,
            "sampler": self.sampler,
            "board_kind": self.board_kind,
            "ellopt_version": __version__,
        }


def trial_record(trial: Trial, start: ModelStart, start_ms: int, end_ms: int) -> Record:
    """The nested run of a trial, and its point in the parent's charts over trials.

    There ``latency_ms`` is that of the best choices so far and ``trials/latency_ms`` the trial's own.
    """
    latencies = {} if trial.total_ms is None else {"latency_ms": trial.total_ms}
    layers = {f"trial_ms/{start.label(node)}": value for node, value in trial.layers_ms.items()}
    best = {} if trial.best_total_ms is None else {"latency_ms": trial.best_total_ms}
    tags = start.tags() | {"kind": "trial", "state": trial.state.value}
    if trial.device:
        tags["board"] = trial.device
    note = plan_table({f"{node} {start.layer_names.get(node, '')}": options for node, options in trial.plan.items()})
    if trial.reason:
        tags["reason"] = trial.reason
        note = f"**{trial.state.capitalize()}**: {trial.reason}\n\n{note}"
    tags["mlflow.note.content"] = note
    return Record(
        key=trial_key(trial.number),
        kind="child",
        name=f"trial {trial.number:03d}",
        status=_STATUS[trial.state],
        start_ms=start_ms,
        end_ms=end_ms,
        params=_choices("", trial.plan, start),
        metrics=_finite(latencies | layers | {"board_seconds": trial.board_seconds}),
        tags=texts(tags),
        history=_finite(best | {f"trials/{key}": value for key, value in latencies.items()} | layers),
        step=trial.number,
    )


def end_record(count: int, status: Status, state: str, reason: str, now_ms: int) -> Record:
    """The end of a run that is not finished, behind ``count`` records."""
    tags = {"state": state, "reason": reason, "mlflow.note.content": f"**{state.capitalize()}**: {reason}"}
    return Record(key=f"{state}/{count}", kind="parent", status=status, end_ms=now_ms, tags=texts(tags))


def confirmation_record(whole: WholeModel, report: TuningReport, start: ModelStart, now_ms: int) -> Record:
    """The nested run of a whole model that the last, interleaved comparison measured."""
    state = "winner" if whole.name == report.confirmation.chosen else "compared"
    tags = start.tags() | {"kind": "confirmation", "state": state, "candidate": whole.name}
    if state == "winner":
        tags["winner"] = "yes"
    note = report.confirmation.why if state == "winner" else ""
    return Record(
        key=f"confirmation/{whole.name}",
        kind="child",
        name=f"{'winner: ' if state == 'winner' else 'compared: '}{whole.name}",
        status="FINISHED",
        start_ms=now_ms,
        end_ms=now_ms,
        params=_choices("", whole.plan, start),
        metrics=_finite({"latency_ms": whole.latency_ms, "samples": len(whole.samples_ms)}),
        tags=texts(tags | ({"mlflow.note.content": note} if note else {})),
    )


def place_of(report: TuningReport) -> str:
    """Where a model was timed, and how: times of one place can be compared."""
    how = " estimated" if report.estimate is not None else " emulated" if report.emulated else ""
    return name(f"{report.target}{how}")


def whole_metrics(report: TuningReport) -> dict[str, float]:
    """The whole model before and after, by the last, interleaved comparison."""
    medians = {whole.name: whole.latency_ms for whole in report.confirmation.candidates}
    before, after = medians.get(report.confirmation.before), medians.get(report.confirmation.chosen)
    metrics: dict[str, float] = {} if after is None else {"latency_ms": after}
    if before is not None:
        metrics["default_latency_ms"] = before
    if before and after is not None:
        metrics["gain_percent"] = 100 * gain_of(before, after, report.confirmation.against_before)
    return metrics


def final_metrics(report: TuningReport, start: ModelStart) -> dict[str, float]:
    """What the parent run says of the outcome. Layers' times are what all samples say."""
    cost, metrics = report.cost, whole_metrics(report)
    if "latency_ms" in metrics:
        metrics[TUNED + place_of(report)] = metrics["latency_ms"]
    for layer in report.layers:
        metrics[f"winner_ms/{start.label(layer.node_id)}"] = layer.winner_ms
        metrics[f"default_ms/{start.label(layer.node_id)}"] = layer.default_ms
    return _finite(
        metrics
        | {
            "board_seconds": cost.board_seconds,
            "build_seconds": cost.build_seconds,
            "wall_seconds": cost.wall_seconds,
            "builds": cost.builds,
            "trials_complete": cost.trials_complete,
            "trials_pruned": cost.trials_pruned,
            "trials_failed": cost.trials_failed,
            "layers": len(report.layers),
        }
    )


def version_tags(report: TuningReport) -> dict[str, str]:
    """What a version of a registered model says of itself: of which model, for what, how fast."""
    facts = {"model": report.model, "model_sha256": report.model_sha256, "target": place_of(report)}
    return texts(facts | {key: f"{value:.5g}" for key, value in whole_metrics(report).items()})


def winning_params(report: TuningReport, start: ModelStart) -> dict[str, str]:
    """The options of the model that was written, one parameter a layer."""
    written = report.confirmation.written
    plan = written.plan if written else {layer.node_id: layer.winner for layer in report.layers}
    return _choices("winner.", plan, start)


def layer_params(report: TuningReport, start: ModelStart) -> tuple[str, ...]:
    """The parameters of the layers, those with the largest share of the model's time first."""
    layers = sorted(report.layers, key=lambda layer: -layer.share_of_model)
    return tuple(start.label(layer.node_id) for layer in layers)


def best_trial_marks(report: TuningReport) -> dict[str, dict[str, str]]:
    """Tags for the trial whose whole model was the fastest."""
    complete = [trial for trial in report.trials if trial.state is TrialState.COMPLETE and trial.total_ms is not None]
    if not complete:
        return {}
    best = min(complete, key=lambda trial: trial.total_ms or math.inf)
    return {trial_key(best.number): {"best_trial": "yes"}}


def trial_key(number: int) -> str:
    return f"trial/{number}"


def name(text: str) -> str:
    """``text`` as a part of the name of an MLflow metric or parameter."""
    cleaned = re.sub(r"[^\w.\- :]", "_", text, flags=re.ASCII)[: _MAX_NAME - 20].strip()
    return cleaned if cleaned.strip(".") and PurePosixPath(cleaned).name == cleaned else f"_{cleaned}_"


def texts(values: Mapping[str, str]) -> dict[str, str]:
    """Tags or parameters, cut to the length that every MLflow store takes."""
    return {
        key: value if len(value) <= _MAX_TAG else value[: _MAX_TAG - 1] + "…" for key, value in values.items() if value
    }


def _choices(prefix: str, plan: Mapping[str, ConvolutionOptions], start: ModelStart) -> dict[str, str]:
    return texts({f"{prefix}{start.label(node)}": code(options) for node, options in plan.items()})


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics that every store takes, without digits that no measurement has and no column has room for."""
    return {key: round(float(value), 5) for key, value in metrics.items() if math.isfinite(value)}
