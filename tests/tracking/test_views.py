"""Saved views in a real store: each belongs to its run, and goes with it."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ellopt.tracking.delivery import Delivery
from ellopt.tracking.experiment import describe_experiment
from tests.support.tracking_stores import deliver, here, record_run

PREFIX = "mlflow.sharedViewState."
TITLES = ("trials by latency", "layer choices against latency", "all models")


def tuned(workplace: Path, out: str, **more: Any) -> Delivery:
    return deliver(record_run(workplace / out, here(workplace, **more)))


def views(experiment_id: str) -> dict[str, dict[str, Any]]:
    """The saved views of an experiment by their keys, each with its state as the UI reads it."""
    found = {}
    for tag, value in MlflowClient().get_experiment(experiment_id).tags.items():
        if tag.startswith(PREFIX):
            view = json.loads(value)
            packed = view["state"].removeprefix("deflate;")
            found[tag.removeprefix(PREFIX)] = view | json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def linked(run_id: str, title: str) -> str:
    """The key of the view that a run's description leads to."""
    note = MlflowClient().get_run(run_id).data.tags["mlflow.note.content"]
    return note.split(f"[{title}](")[1].split(")")[0].rsplit("viewStateShareKey=")[1]


def test_every_run_leads_to_its_own_trials_though_all_have_one_name(workplace: Path) -> None:
    runs = [tuned(workplace, out).where() for out in ("monday", "tuesday")]
    found = views(runs[0]["experiment_id"])
    for run in runs:
        for title in TITLES[:2]:
            view = found[linked(run["run_id"], title)]
            assert view["searchFilter"] == f"tags.mlflow.parentRunId = '{run['run_id']}'"
            assert view["name"].startswith("net on host, ")
            assert view["name"].endswith(title)
    assert len(found) == 5


def test_views_of_runs_that_are_deleted_go_with_the_next_run(workplace: Path) -> None:
    deleted, kept = (tuned(workplace, out).where() for out in ("monday", "tuesday"))
    MlflowClient().delete_run(deleted["run_id"])
    MlflowClient().set_experiment_tag(kept["experiment_id"], f"{PREFIX}of-somebody-else", "{}")
    last = tuned(workplace, "wednesday").where()
    keys = {
        tag.removeprefix(PREFIX)
        for tag in MlflowClient().get_experiment(kept["experiment_id"]).tags
        if tag.startswith(PREFIX)
    }
    assert keys == {linked(run["run_id"], title) for run in (kept, last) for title in TITLES} | {"of-somebody-else"}


def test_the_view_of_all_models_has_a_chart_for_each_target_and_none_for_several(workplace: Path) -> None:
    run = tuned(workplace, "monday").where()
    view = views(run["experiment_id"])[linked(run["run_id"], "all models")]
    assert view["searchFilter"] == "tags.kind = 'model'"
    columns = ("tags.`model`", "tags.`target`", "metrics.`default_latency_ms`", "metrics.`latency_ms`")
    assert view["selectedColumns"][:6] == [*columns, "metrics.`gain_percent`", "attributes.`Created`"]
    assert "latency_ms" not in {card["metricKey"] for card in view["compareRunCharts"]}


@pytest.mark.parametrize("kind", ["", "no_inferred_type", "genai_development_inferred", "genai_development"])
def test_an_experiment_that_was_there_is_described_unless_somebody_did_it(workplace: Path, kind: str) -> None:
    client = MlflowClient()
    tags = {"mlflow.experimentKind": kind} if kind else {}
    chosen = kind == "genai_development"
    experiment = client.create_experiment("mine", tags=tags | ({"mlflow.note.content": "mine"} if chosen else {}))
    describe_experiment(client, experiment)
    found = client.get_experiment(experiment).tags
    assert found["mlflow.experimentKind"] == (kind if chosen else "custom_model_development")
    assert (found["mlflow.note.content"] == "mine") == chosen
