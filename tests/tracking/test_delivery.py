"""What stands in a real MLflow store after delivery, whatever interrupts it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from ellopt.files.redaction import Redactor
from ellopt.tracking.delivery import Delivery
from ellopt.tracking.model_tracker import TrackedModel
from ellopt.tracking.outbox import Journal, redirect
from ellopt.tracking.reasons import NeverTaken, reason_of
from ellopt.tracking.record import Record
from ellopt.tracking.store import matching
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs
from tests.support.tracking_stores import artifacts, here, only, record_run, runs_by_name, snapshot

Notices = list[tuple[str, str]]


def deliver(model: TrackedModel, notices: Notices | None = None) -> Delivery:
    assert model.outbox_path is not None
    heard = notices if notices is not None else []
    delivery = Delivery(model.outbox_path, lambda name, text: heard.append((name, text)))
    delivery.read()
    for record in delivery.pending():
        delivery.deliver(record)
    delivery.flush()
    return delivery


def test_a_run_as_a_user_finds_it(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace), trials=14)
    delivery = deliver(model)
    client = MlflowClient()
    runs = runs_by_name(client)
    parent, trial = only(runs, "net on host"), only(runs, "trial 003")
    expected = {f"trial {number:03d}" for number in range(14)}
    assert set(runs) == {"net on host", "winner: assembled", "compared: ell default"} | expected

    assert parent.info.status == "FINISHED"
    assert parent.data.params["layer.1038"] == "winograd s8 f2 c4 parallel"
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
    assert trial.data.params == {f"layer.{node}": str(options) for node, options in report_trial.plan.items()}
    assert trial.data.metrics["latency_ms"] == pytest.approx(report_trial.total_ms, abs=1e-5)
    assert trial.data.metrics["layer_ms/1042"] == pytest.approx(report_trial.layers_ms["1042"], abs=1e-5)
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


def test_the_description_leads_to_saved_views(workplace: Path) -> None:
    delivery = deliver(record_run(workplace / "out", here(workplace)))
    client = MlflowClient()
    note = client.get_run(delivery.parent_run_id).data.tags["mlflow.note.content"]
    experiment = client.get_experiment(delivery.where()["experiment_id"])
    assert "{views}" not in note
    for title in ("trials by latency", "layer choices against latency"):
        link = note.split(f"[{title}](")[1].split(")")[0]
        key = link.rsplit("viewStateShareKey=")[1]
        assert f'"net on host: {title}"' in experiment.tags[f"mlflow.sharedViewState.{key}"]


class Killed(BaseException):
    """Ends a delivery as a power cut would: nothing handles it."""


WRITES: list[tuple[type, str]] = [
    (Journal, "note"),
    *(
        (MlflowClient, name)
        for name in (
            "create_experiment",
            "create_run",
            "log_artifact",
            "log_batch",
            "log_table",
            "set_experiment_tag",
            "set_terminated",
        )
    ),
]


class DiesAt:
    """Counts writes to the store and to the journal; the last one is the last, before or after it took effect."""

    def __init__(self, last: int, after: bool) -> None:
        self._left = last
        self._after = after

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            result = method(*arguments, **keywords)
            if self._left == 0:
                raise Killed
            return result

        return wrapper


@pytest.mark.parametrize("after", [False, True])
def test_a_delivery_killed_again_and_again_gives_the_same_store_in_the_end(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The n-th attempt is killed at its n-th write; in the end each run is there once, with all that belongs to it."""
    deliver(record_run(workplace / "whole", here(workplace), trials=2))
    client = MlflowClient()
    expected = snapshot(client)
    experiment = client.get_experiment_by_name("ellopt/net")
    assert experiment is not None
    client.rename_experiment(experiment.experiment_id, "ellopt/whole")

    model = record_run(workplace / "out", here(workplace), trials=2)
    for deaths in range(100):
        kill = DiesAt(deaths + 1, after)
        with monkeypatch.context() as patch:
            for owner, method in WRITES:
                patch.setattr(owner, method, kill.around(getattr(owner, method)))
            try:
                deliver(model)
                break
            except Killed:
                continue
    assert 10 < deaths < 99
    assert snapshot(client) == expected


def test_delivered_again_after_the_journal_was_lost_nothing_is_there_twice(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace))
    deliver(model)
    expected = snapshot(MlflowClient())
    assert model.outbox_path is not None
    (model.outbox_path / "delivered.jsonl").unlink()
    deliver(model)
    assert snapshot(MlflowClient()) == expected


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


# what goes wrong


def test_a_failed_model_says_why(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace), finish=False)
    model.failed_model("no board could be had")
    delivery = deliver(model)
    parent = MlflowClient().get_run(delivery.parent_run_id)
    assert (parent.info.status, parent.data.tags["state"]) == ("FAILED", "failed")
    assert "no board could be had" in parent.data.tags["mlflow.note.content"]


def test_what_mlflow_refuses_for_good_does_not_hold_up_the_rest(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace), trials=1, finish=False)
    outbox = model.outbox
    assert outbox is not None
    outbox.append(Record(key="bad", kind="child", name="bad one", metrics={"no & such # name": 1.0}))
    model.finish_model(make_report(make_trials(1)), workplace / "out")
    notices: Notices = []
    delivery = deliver(model, notices)
    assert delivery.waiting == 0
    assert [text for name, text in notices if name == "refused" and "bad one" in text]
    assert MlflowClient().get_run(delivery.parent_run_id).info.status == "FINISHED"


def test_an_output_file_that_was_changed_or_removed_since_is_not_logged(workplace: Path) -> None:
    model = record_run(workplace / "out", here(workplace))
    (workplace / "out" / "net_options.ell").write_text("of a later run")
    (workplace / "out" / "compile_switches.txt").unlink()
    notices: Notices = []
    delivery = deliver(model, notices)
    logged = artifacts(MlflowClient(), MlflowClient().get_run(delivery.parent_run_id))
    assert not logged & {"net_options.ell", "compile_switches.txt"}
    assert "tuning_report.json" in logged
    assert len([name for name, _ in notices if name == "missing"]) == 2


def test_a_deleted_experiment_is_named_and_everything_waits(workplace: Path) -> None:
    client = MlflowClient()
    client.delete_experiment(client.create_experiment("ellopt/net"))
    model = record_run(workplace / "out", here(workplace))
    with pytest.raises(MlflowException, match="deleted"):
        deliver(model)
    assert model.undelivered() == 8


def test_a_model_with_very_many_layers_fits_into_mlflow_s_batches(workplace: Path) -> None:
    report = make_report(make_trials(1, 250), 250)
    model = TrackedModel(make_start(workplace / "out"), here(workplace), Redactor(), "", lambda: None)
    model.finish_model(report, workplace / "out")
    deliver(model)
    trial = only(runs_by_name(MlflowClient()), "trial 000")
    assert len(trial.data.params) == 250
    assert len([key for key in trial.data.metrics if key.startswith("layer_ms/")]) == 250


def test_a_full_disk_stops_nothing_and_the_end_tries_again(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    report = make_report(make_trials(3))
    model = TrackedModel(make_start(workplace / "out"), here(workplace), Redactor(), "", lambda: None)

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        model.trial_finished(report.trials[0])
        model.trial_finished(report.trials[1])
    model.trial_finished(report.trials[2])
    write_outputs(workplace / "out", report)
    model.finish_model(report, workplace / "out")
    deliver(model)
    assert caplog.text.count("No space left") == 1
    runs = runs_by_name(MlflowClient())
    assert {len(runs[f"trial {number:03d}"]) for number in range(3)} == {1}


# what can never be delivered, and another place for it


@pytest.mark.parametrize("gone", ["run", "experiment"])
def test_records_whose_place_was_deleted_are_kept_and_the_reason_lasts(workplace: Path, gone: str) -> None:
    client = MlflowClient()
    model = record_run(workplace / "out", here(workplace), trials=2, finish=False)
    delivery = deliver(model)
    if gone == "run":
        client.delete_run(delivery.parent_run_id)
    else:
        client.delete_experiment(client.get_run(delivery.parent_run_id).info.experiment_id)
    model.failed_model("to have something to deliver")
    with pytest.raises(NeverTaken, match=f"the {gone} .* was deleted") as told:
        deliver(model)
    assert reason_of(told.value).lasting
    assert model.undelivered() == 1

    assert model.outbox_path is not None
    redirect(model.outbox_path, "", 'it\'s "rescued"')
    moved = deliver(model)
    assert model.undelivered() == 0
    runs = runs_by_name(client, 'it\'s "rescued"')
    assert {"net on host", "trial 000", "trial 001"} == set(runs)
    assert moved.where()["experiment"] == 'it\'s "rescued"'


@pytest.mark.parametrize("text", ["plain", "it's", 'a "b"', 'it\'s "both"'])
def test_quotes_in_a_condition_find_what_was_meant(workplace: Path, text: str) -> None:
    client = MlflowClient()
    wanted = client.create_run("0", tags={"key": text}).info.run_id
    client.create_run("0", tags={"key": "another"})
    found = client.search_runs(["0"], f"tags.key {matching(text)}")
    assert [run.info.run_id for run in found] == [wanted]


def test_a_run_whose_process_was_killed_does_not_stay_running(workplace: Path) -> None:
    delivery = deliver(record_run(workplace / "out", here(workplace), finish=False))
    delivery.mark_killed()
    assert MlflowClient().get_run(delivery.parent_run_id).info.status == "KILLED"
    again = deliver(record_run(workplace / "out", here(workplace), finish=False))
    assert again.parent_run_id == delivery.parent_run_id
    assert MlflowClient().get_run(again.parent_run_id).info.status == "RUNNING"
    done = deliver(record_run(workplace / "out", here(workplace)))
    done.mark_killed()
    assert MlflowClient().get_run(done.parent_run_id).info.status == "FINISHED"


def test_other_work_in_the_directory_ends_what_was_killed_there_and_delivers_it(workplace: Path) -> None:
    first = record_run(workplace / "out", here(workplace), finish=False)
    start = replace(first.start, identity="sha256 of another model")
    second = TrackedModel(start, here(workplace), Redactor(), "", lambda: None)
    assert second.older == (first.outbox_path,)
    assert first.outbox_path is not None
    delivery = Delivery(first.outbox_path, lambda name, text: None)
    delivery.read()
    for record in delivery.pending():
        delivery.deliver(record)
    run = MlflowClient().get_run(delivery.parent_run_id)
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
