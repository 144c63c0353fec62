"""What is to be told to MLflow, and what was."""

from __future__ import annotations

from pathlib import Path

from ellopt.files.redaction import Redactor
from ellopt.tracking.outbox import Journal, Outbox, Reader, outboxes_of
from ellopt.tracking.record import Destination
from ellopt.tracking.tracked_model import TrackedModel
from tests.support.crashes import Announce
from tests.support.keepers.base import Keeper
from tests.support.tracking_runs import make_report, make_start, make_trials


class RecordsKeeper(Keeper):
    """Records for MLflow, with the files that belong to them."""

    def prepare(self, place: Path) -> None:
        (place / "out").mkdir(parents=True)

    def work(self, place: Path, announce: Announce) -> None:
        def news() -> None:
            for outbox in outboxes_of(place / "out"):
                for key in Outbox(outbox).records:
                    announce(key)

        report = make_report(make_trials(2))
        destination = Destination(directory=str(place), experiment="ellopt/net")
        model = TrackedModel(make_start(place / "out"), destination, Redactor(), "", news)
        for trial in report.trials:
            model.trial_finished(trial, {"profile_report.txt": f"profile of trial {trial.number}\n"})
        model.finish_model(report, place / "out")

    def kept(self, place: Path) -> set[str]:
        found = set()
        for outbox in outboxes_of(place / "out"):
            for record in Reader(outbox).read():
                found.add(record.key)
                for file in record.files:
                    assert (outbox / file.path).is_file(), file
        return found

    def whole(self, place: Path) -> object:
        return {key for key in self.kept(place) if not key.startswith("resumed")}


class DeliveryKeeper(Keeper):
    """What was delivered."""

    def prepare(self, place: Path) -> None:
        Outbox.create(place)

    def work(self, place: Path, announce: Announce) -> None:
        (outbox,) = outboxes_of(place)
        journal = Journal(outbox)
        for key in ("model", "trial/0", "trial/1"):
            if key in journal.done:
                continue
            if key not in journal.begun:
                journal.note(key=key, state="begun")
                announce(f"{key} begun")
            if key not in journal.runs:
                journal.note(key=key, run=f"run of {key}")
                announce(f"{key} runs")
            journal.note(key=key, state="done")
            announce(f"{key} done")

    def kept(self, place: Path) -> set[str]:
        (outbox,) = outboxes_of(place)
        journal = Journal(outbox)
        assert not journal.doubtful
        assert all(run == f"run of {key}" for key, run in journal.runs.items())
        states = {"begun": journal.begun, "runs": set(journal.runs), "done": journal.done}
        return {f"{key} {state}" for state, keys in states.items() for key in keys}
