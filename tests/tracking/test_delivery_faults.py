"""Deliveries that are killed, refused or sent to what was deleted: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ellopt.files.redaction import Redactor
from ellopt.tracking.delivery import Delivery
from ellopt.tracking.outbox import Journal, redirect
from ellopt.tracking.reasons import NeverTaken, reason_of
from ellopt.tracking.record import Record
from ellopt.tracking.store import matching
from ellopt.tracking.tracked_model import TrackedModel
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs
from tests.support.tracking_stores import Notices, artifacts, deliver, here, only, record_run, runs_by_name, snapshot


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
    assert len([key for key in trial.data.metrics if key.startswith("trial_ms/")]) == 250


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
