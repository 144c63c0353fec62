"""What workers say of the models that they tune is kept once, in order, and believed as far as it can be."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.app.find import Subject
from ellopt.app.sent_tunings import believed
from ellopt.app.shared import SharedParts
from ellopt.app.tune_model import tune_model
from ellopt.app.worker_tuning import Mirror, WorkerTuned
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.settings import OwnGroups
from ellopt.devices.replay import ReplayPool
from ellopt.devices.staging import run_here
from ellopt.frontends.base import read_model
from ellopt.frontends.discover import ModelFile
from ellopt.measure.executors.dask.listener import Hearing
from ellopt.measure.executors.dask.talk import News, Talk
from ellopt.report.document import TuningReport
from ellopt.search.observer import Silent
from ellopt.space.space import narrow
from tests.support.fleet.whole_tunings import parts
from tests.support.paths import TINY


@dataclass(frozen=True)
class Tuned:
    shared: SharedParts
    subject: Subject
    report: TuningReport

    def there(self, change: Callable[[dict[str, Any]], None] = lambda report: None) -> WorkerTuned:
        said = json.loads(self.report.to_json())
        change(said)
        return WorkerTuned(json.dumps(said), self.subject.space.default_plan, News("work", "attempt"))

    @property
    def trials(self) -> dict[int, Any]:
        return {trial.number: trial for trial in self.report.trials}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder, file = tmp_path_factory.mktemp("tuned"), ModelFile(TINY, "tiny", "tiny")
    with ReplayPool(run_here, board="recorded") as pool:
        shared = parts(folder, pool, OwnGroups(), None)
        report = tune_model(file, folder / "tiny", shared, Silent())
    model = read_model(TINY)
    space = narrow(shared.space, shared.toolchain.layers(model), shared.toolchain, shared.target)
    return Tuned(shared, Subject(file, model, space, "recorded", ""), report)


def test_a_report_is_believed_with_the_trials_that_were_told(tuned: Tuned) -> None:
    found = believed(tuned.there(), tuned.trials, tuned.subject, tuned.shared)
    assert found.layers == tuned.report.layers
    assert found.trials == tuned.report.trials


def chosen_by_nobody(report: dict[str, Any]) -> None:
    for candidate in report["confirmation"]["candidates"]:
        candidate["plan"] = dict.fromkeys(candidate["plan"], "winograd f64")


def won_by_what_nobody_asked_for(report: dict[str, Any]) -> None:
    layer = report["layers"][0]
    layer["variants"].append({**layer["variants"][0], "options": "winograd f64"})
    layer["winner"] = "winograd f64"


def without_a_trial(report: dict[str, Any]) -> None:
    last = report["trials"].pop()
    report["cost"][f"trials_{last['state']}"] -= 1


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.update(model_sha256="0" * 64),
        lambda report: report.update(target="pi4_64"),
        lambda report: report.update(toolchain="ell"),
        lambda report: report["layers"].reverse(),
        lambda report: report["confirmation"].update(chosen=""),
        lambda report: report.update(trials="many"),
        chosen_by_nobody,
        won_by_what_nobody_asked_for,
        without_a_trial,
    ],
)
def test_a_report_of_something_else_is_refused(tuned: Tuned, change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises((ValueError, ConfigurationError)):
        believed(tuned.there(change), tuned.trials, tuned.subject, tuned.shared)


def test_what_ell_cannot_do_is_not_told_to_it(tuned: Tuned) -> None:
    layer = tuned.subject.space.layers[0]
    other = next(o for o in layer.variants if o.method == "winograd")
    plan = tuned.subject.space.default_plan.with_all({layer.node_id: replace(other, winograd_tile_size=4)})
    with pytest.raises(ValueError, match="cannot do"):
        believed(replace(tuned.there(), ell_plan=plan), tuned.trials, tuned.subject, tuned.shared)


# --- talks --------------------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """Keeps what arrives; a new attempt begins with what was kept."""

    texts: list[str] = field(default_factory=list)

    def begin(self) -> bytes:
        return json.dumps(self.texts).encode()

    def hear(self, text: str) -> None:
        self.texts.append(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["say", "ask", "ask again", "late answer", "die"]), max_size=40))
def test_whatever_is_lost_on_the_way_each_text_is_heard_once_and_in_order(course: list[str]) -> None:
    heard, said = Heard(), 0
    hearing = Hearing(heard)
    talk, answers = Talk("work"), [News("work", "")][:0]

    def listen() -> None:
        answers.append(talk.news(hearing.heard if hearing.attempt == talk.attempt else 0))
        told = hearing.take(answers[-1])
        if told is not None:
            talk.told(told)

    for step in course:
        if step == "die":  # the next attempt goes on from what the client has
            talk = Talk("work")
            listen()
            said = len(json.loads(talk.hear()))
        elif step == "say" and hearing.attempt == talk.attempt:
            talk.say(str(said))
            said += 1
        elif step == "late answer" and answers:
            hearing.take(answers[len(answers) // 2])
        else:
            listen()
        assert heard.texts == [str(number) for number in range(len(heard.texts))]
    listen()
    listen()
    hearing.end(talk.news(0))
    assert heard.texts == [str(number) for number in range(said)]


def test_a_gap_and_another_attempts_end_are_noticed() -> None:
    hearing = Hearing(Heard())
    hearing.take(News("work", "one"))
    hearing.take(News("work", "one", 5, ("late",)))
    with pytest.raises(InfrastructureError, match="did not arrive"):
        hearing.end(News("work", "one", 6))
    hearing.take(News("work", "two"))
    with pytest.raises(InfrastructureError, match="another attempt"):
        hearing.end(News("work", "one", 0, ("x",)))


def test_a_mirror_says_whole_lines_once_and_a_file_that_begins_anew_again(tmp_path: Path) -> None:
    talk = Talk("work")
    mirror = Mirror(tmp_path, talk)
    mirror.begin(json.dumps({"observations.jsonl": base64.b64encode(b'{"a": 1}\n').decode()}).encode())
    path = tmp_path / "observations.jsonl"

    def news() -> list[tuple[int, bytes]]:
        mirror.look()
        found = [json.loads(text) for text in talk.news(0).texts]
        talk.news(len(found))
        return [(said["at"], base64.b64decode(said["data"])) for said in found]

    assert news() == []
    with path.open("ab") as file:
        file.write(b'{"b": 2}\n{"c"')
    assert news() == [(9, b'{"b": 2}\n')]
    path.rename(tmp_path / "aside")
    path.write_bytes(b'{"d": 4}\n')
    assert news()[-1:] == [(0, b'{"d": 4}\n')]
