"""Runs that are recorded for a tracking store, and what then stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from ellopt.files.redaction import Redactor
from ellopt.tracking.delivery import Delivery
from ellopt.tracking.record import Destination
from ellopt.tracking.tracked_model import TrackedModel
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs

#: What a delivery told: the name of each notice, and its text.
Notices = list[tuple[str, str]]


def record_run(
    output_dir: Path, destination: Destination, trials: int = 4, finish: bool = True, name: str = "net"
) -> TrackedModel:
    """A whole tuning run, into the outbox."""
    model = TrackedModel(make_start(output_dir, name), destination, Redactor(), "", lambda: None)
    report = make_report(make_trials(trials), name=name)
    for trial in report.trials:
        model.trial_finished(trial, {"profile_report.txt": f"profile of trial {trial.number}\n"})
    if finish:
        write_outputs(output_dir, report)
        model.finish_model(report, output_dir)
    return model


def deliver(model: TrackedModel, notices: Notices | None = None) -> Delivery:
    """All that waits in the outbox, into the store. ``notices`` gets what is told meanwhile."""
    assert model.outbox_path is not None
    heard = notices if notices is not None else []
    delivery = Delivery(model.outbox_path, lambda name, text: heard.append((name, text)))
    delivery.read()
    for record in delivery.pending():
        delivery.deliver(record)
    delivery.flush()
    return delivery


def here(workplace: Path, **more: Any) -> Destination:
    return Destination(directory=str(workplace), experiment="ellopt/net", **more)


def runs_by_name(client: MlflowClient, experiment: str = "ellopt/net") -> dict[str, list[Run]]:
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    result: dict[str, list[Run]] = {}
    for run in client.search_runs([found.experiment_id]):
        result.setdefault(run.info.run_name, []).append(run)
    return result


def only(runs: dict[str, list[Run]], name: str) -> Run:
    (run,) = runs[name]
    return run


def artifacts(client: MlflowClient, run: Run) -> set[str]:
    return {item.path for item in client.list_artifacts(run.info.run_id)}


def snapshot(client: MlflowClient, experiment: str = "ellopt/net") -> dict[str, Any]:
    """All that a user could tell apart, without ids."""
    result = {}
    for name, runs in runs_by_name(client, experiment).items():
        for number, run in enumerate(runs):
            history = {
                key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            }
            tags = {key for key in run.data.tags if key != "ellopt.key"}
            result[f"{name} {number}"] = (run.info.status, run.data.params, history, tags, artifacts(client, run))
    return result
