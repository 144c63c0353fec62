"""What stands in a real MLflow store after delivery, and in which run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ellopt.files.redaction import Redactor
from ellopt.tracking.codes import code
from ellopt.tracking.tracked_model import TrackedModel
from tests.support.tracking_runs import WINNER, make_report, make_trials
from tests.support.tracking_stores import Notices, artifacts, deliver, here, only, record_run, runs_by_name


def test_a_run_as_a_user_finds_it(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace), trials=14)
    delivery = deliver(model)
    client = MlflowClient()
    runs = runs_by_name(client)
    parent, trial = only(runs, "net on host"), only(runs, "trial 003")
    expected = {f"trial {number:03d}" for number in range(14)}
    assert set(runs) == {"net on host", "winner: assembled", "compared: ell default"} | expected

    assert parent.info.status == "FINISHED"
    assert parent.data.params["winner.1038 conv1"] == code(WINNER)
    assert parent.data.metrics["winner_ms/1038 conv1"] == pytest.approx(1.2)
    assert parent.data.metrics["default_ms/1038 conv1"] == pytest.approx(3.2)
    assert parent.data.metrics["tuned_ms/host"] == pytest.approx(3.8)
    assert parent.data.params["seed"] == "0"
    assert parent.data.metrics["latency_ms"] == pytest.approx(3.8)
    tags = ("model", "target", "toolchain", "sampler", "board_kind", "ellopt_version", "state")
    assert [parent.data.tags[tag] for tag in tags][:-2] == ["net", "host", "native", "tpe", "local"]
    assert parent.data.tags["state"] == "complete"
    assert artifacts(client, parent) == {
        "net_options.ell",
        "compile_options.json",
        "compile_switches.txt",
        "tuning_report.json",
        "tuning_report.html",
        "measurements.csv",
        "measurements.json",
    }

    report_trial = make_trials(14)[3]
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert trial.data.params == {
        f"{node} conv{i}": code(options) for i, (node, options) in enumerate(report_trial.plan.items())
    }
    assert trial.data.metrics["latency_ms"] == pytest.approx(report_trial.total_ms, abs=1e-5)
    assert trial.data.metrics["trial_ms/1042 conv2"] == pytest.approx(report_trial.layers_ms["1042"], abs=1e-5)
    assert artifacts(client, trial) == {"profile_report.txt", "compile_options.json"}
    assert trial.info.start_time < trial.info.end_time

    assert [run.info.run_name for (run,) in runs.values() if "winner" in run.data.tags] == ["winner: assembled"]
    best = min((t for t in make_trials(14) if t.total_ms), key=lambda t: t.total_ms or 0)
    assert only(runs, f"trial {best.number:03d}").data.tags["best_trial"] == "yes"
    failed, pruned = only(runs, "trial 012"), only(runs, "trial 008")
    assert (failed.info.status, failed.data.tags["reason"]) == ("FAILED", "the compiler crashed")
    assert (pruned.info.status, pruned.data.tags["state"]) == ("KILLED", "pruned")

    history = client.get_metric_history(parent.info.run_id, "latency_ms")
    assert [point.step for point in history] == list(range(15))
    assert [point.value for point in history[-2:]] == pytest.approx([best.total_ms, 3.8], abs=1e-5)
    assert delivery.where()["run_id"] == parent.info.run_id
    assert delivery.where()["tracking_uri"] == f"sqlite:///{workplace}/mlflow.db"


def test_trials_can_be_sorted_by_mlflow_itself(workplace: Path) -> None:
    deliver(record_run(workplace / "out", here(workplace), trials=8))
    experiment = MlflowClient().get_experiment_by_name("ellopt/net")
    assert experiment is not None
    frame = mlflow.search_runs([experiment.experiment_id], "tags.kind != 'model'", order_by=["metrics.latency_ms ASC"])
    assert frame["tags.winner"][0] == "yes"
    assert frame["metrics.latency_ms"].is_monotonic_increasing


def test_the_table_of_measurements_is_a_pandas_frame(workplace: Path) -> None:
    delivery = deliver(record_run(workplace / "out", here(workplace)))
    where = delivery.where()
    frame = MlflowClient().load_table(where["experiment_id"], "measurements.json", run_ids=[where["run_id"]])
    assert len(frame) == 18
    assert set(frame["node_id"].astype(str)) == {"1034", "1038", "1042"}
    winner = frame[(frame["node_id"].astype(str) == "1042") & frame["winner"]]
    assert winner["median_ms"].tolist() == pytest.approx([1.8])


# inside "mlflow run"


def outer_run(client: MlflowClient, name: str = "languid-carp-12") -> Run:
    run = client.create_run("0", run_name=name)
    client.log_param(run.info.run_id, "seed", "7")  # as "mlflow run -P seed=7" does
    return run


def test_inside_mlflow_run_its_run_is_the_parent(workplace: Path) -> None:
    client = MlflowClient()
    outer = outer_run(client)
    deliver(record_run(workplace / "out", here(workplace, run_id=outer.info.run_id, experiment_id="0")))
    runs = runs_by_name(client, "Default")
    parent = only(runs, "net on host")
    assert parent.info.run_id == outer.info.run_id
    assert parent.info.status == "RUNNING"  # "mlflow run" ends it
    assert parent.data.params["seed"] == "7"
    assert parent.data.params["options_file"] == "search_spaces/quick.json"
    assert parent.data.tags["state"] == "complete"
    assert only(runs, "trial 002").data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert "net_options.ell" in artifacts(client, parent)
    assert client.get_experiment_by_name("ellopt/net") is None
    ours = client.get_experiment("0").tags
    assert ours["mlflow.experimentKind"] == "custom_model_development"
    assert "ellopt tuned" in ours["mlflow.note.content"]


def test_a_name_that_the_user_gave_to_the_run_stays(workplace: Path) -> None:
    client = MlflowClient()
    outer = outer_run(client, "my own name")
    deliver(record_run(workplace / "out", here(workplace, run_id=outer.info.run_id), finish=False))
    assert client.get_run(outer.info.run_id).info.run_name == "my own name"


def test_inside_mlflow_run_several_models_have_a_parent_run_each(workplace: Path) -> None:
    client = MlflowClient()
    outer = outer_run(client, "two models")
    destination = here(workplace, run_id=outer.info.run_id, experiment_id="0", nested=True)
    for name in ("a", "b"):
        deliver(record_run(workplace / "out" / name, destination, name=name))
    runs = runs_by_name(client, "Default")
    for name in ("a", "b"):
        parent = only(runs, f"{name} on host")
        assert parent.data.tags["mlflow.parentRunId"] == outer.info.run_id
        assert parent.info.status == "FINISHED"
    trials = {run.data.tags["mlflow.parentRunId"] for run in runs["trial 001"]}
    assert trials == {only(runs, f"{name} on host").info.run_id for name in ("a", "b")}


def test_a_run_id_of_another_store_is_told_and_a_run_made(workplace: Path) -> None:
    notices: Notices = []
    deliver(record_run(workplace / "out", here(workplace, run_id="0" * 32), finish=False), notices)
    assert "net on host" in runs_by_name(MlflowClient())
    assert notices[0][0] == "no such run"


# going on after an interruption


def test_resumed_outside_mlflow_run_the_same_parent_goes_on(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace), trials=3, finish=False)
    model.interrupted()
    first = deliver(model)
    client = MlflowClient()
    assert client.get_run(first.parent_run_id).info.status == "KILLED"

    model = record_run(workplace / "out", here(workplace), trials=6, finish=False)
    second = deliver(model)
    assert second.parent_run_id == first.parent_run_id
    parent = client.get_run(first.parent_run_id)
    assert (parent.info.status, parent.data.tags["state"]) == ("RUNNING", "running")
    runs = runs_by_name(client)
    assert {name: len(found) for name, found in runs.items() if name.startswith("trial")} == {
        f"trial {number:03d}": 1 for number in range(6)
    }
    model.finish_model(make_report(make_trials(6)), workplace / "out")
    deliver(model)
    parent = client.get_run(first.parent_run_id)
    assert (parent.info.status, parent.data.tags["state"]) == ("FINISHED", "complete")


def test_resumed_inside_another_mlflow_run_that_run_shows_the_whole(workplace: Path) -> None:
    client = MlflowClient()
    old, new = outer_run(client, "brave-ant-1"), outer_run(client, "calm-bee-2")
    model = record_run(
        workplace / "out", here(workplace, run_id=old.info.run_id, experiment_id="0"), trials=3, finish=False
    )
    deliver(model)
    model = record_run(workplace / "out", here(workplace, run_id=new.info.run_id, experiment_id="0"), trials=5)
    deliver(model)
    runs = runs_by_name(client, "Default")
    for number in range(5):
        assert only(runs, f"trial {number:03d}").data.tags["mlflow.parentRunId"] == new.info.run_id
    history = client.get_metric_history(new.info.run_id, "trials/latency_ms")
    assert [point.step for point in history] == list(range(5))
    left = client.get_run(old.info.run_id)
    assert left.info.status == "KILLED"
    assert new.info.run_id in left.data.tags["mlflow.note.content"]


def test_finished_work_is_confirmed_anew_in_a_run_of_its_own_and_its_trials_stay_where_they_are(
    workplace: Path,
) -> None:
    first = deliver(record_run(workplace / "out", here(workplace)))
    second = deliver(record_run(workplace / "out", here(workplace)))
    assert first.parent_run_id != second.parent_run_id
    runs = runs_by_name(MlflowClient())
    assert all(len(runs[f"trial {number:03d}"]) == 1 for number in range(4))
    assert len(runs["winner: assembled"]) == 2
    again = MlflowClient().get_run(second.parent_run_id)
    assert (again.info.status, again.data.tags["earlier_trials_in"]) == ("FINISHED", first.parent_run_id)


def test_other_work_in_the_same_directory_is_not_continued(workplace: Path) -> None:
    first = record_run(workplace / "out", here(workplace), finish=False)
    start = replace(first.start, identity="sha256 of another model")
    second = TrackedModel(start, here(workplace), Redactor(), "", lambda: None)
    third = TrackedModel(first.start, here(workplace, tracking_uri="http://elsewhere"), Redactor(), "", lambda: None)
    assert len({first.outbox_path, second.outbox_path, third.outbox_path}) == 3
