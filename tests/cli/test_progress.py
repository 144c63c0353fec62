"""The progress display: what it says, how seldom, and that it never stops a run."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console
from rich.errors import MarkupError

from ellopt.cli.progress import PLAIN_INTERVAL, LiveDisplay, PlainDisplay, display, live_lines, plain_line
from ellopt.core.options import ELL_DEFAULT
from ellopt.core.plan import Plan
from ellopt.core.trial import Trial
from ellopt.search.observer import SearchProgress, UntilConfirmed

PROGRESS = SearchProgress(
    phase="measuring",
    trials_complete=31,
    trials_pruned=5,
    trials_failed=4,
    variants_measured=42,
    variants_total=64,
    builds_in_flight=1,
    boards_busy=3,
    boards_total=6,
    boards_set_aside=1,
    elapsed=75,
    time_left=32,
    default_ms=4.0,
    best_ms=1.0,
)


def failed(number: int, reason: str) -> Trial:
    return replace(Trial.without_samples(Plan.uniform(["1"], ELL_DEFAULT), reason), number=number)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=False)


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=110, force_terminal=True, _environ={"TERM": "xterm"})


def test_a_plain_line_tells_everything() -> None:
    line = plain_line(PROGRESS, "cnn64", resumed=7)
    for part in (
        "cnn64: measuring 42/64 variants",
        "31 done, 5 pruned, 4 failed",
        "best 1.00 ms (−75 %)",
        "1 build in flight",
        "boards 3 busy, 2 idle, 1 set aside",
        "1 min 15 s, about 32 s left",
        "7 trials of an earlier run",
    ):
        assert part in line


def test_trials_count_where_their_number_is_known() -> None:
    assert "40/200 trials" in plain_line(replace(PROGRESS, trials_planned=200))


def test_the_live_display_tells_the_same() -> None:
    console = Console(file=io.StringIO(), width=110)
    for line in live_lines(PROGRESS, "cnn64", "trial 8: wrong output"):
        console.print(line)
    shown = written(console)
    for part in (
        "cnn64 measuring",
        "42/64 variants",
        "31 done, 5 pruned, 4 failed; best 1.00 ms (−75 %)",
        "boards 3 busy, 2 idle, 1 set aside",
        "about 32 s left",
        "last failure: trial 8: wrong output",
    ):
        assert part in shown


def test_plain_lines_come_seldom(pipe: Console) -> None:
    now = 0.0
    plain = PlainDisplay(pipe, clock=lambda: now)
    model = plain.for_model("cnn64")
    for tenth in range(1000):
        now = tenth / 10
        model.state_changed(replace(PROGRESS, elapsed=now))
    lines = written(pipe).splitlines()
    assert len(lines) == 100 / PLAIN_INTERVAL
    model.state_changed(replace(PROGRESS, phase="done"))
    assert written(pipe).splitlines()[len(lines) :][0].startswith("cnn64: done")


def test_each_model_has_lines_of_its_own(pipe: Console) -> None:
    plain = PlainDisplay(pipe, clock=lambda: 0.0)
    for name in ("a", "b"):
        plain.for_model(name).state_changed(PROGRESS)
    assert [line.split(":")[0] for line in written(pipe).splitlines()] == ["a", "b"]


def test_names_cannot_steer_the_terminal(pipe: Console) -> None:
    plain = PlainDisplay(pipe)
    plain.for_model("x\x1b[31m[bold]y").state_changed(replace(PROGRESS, message="[/red]\x07"))
    assert "\x1b" not in written(pipe)
    assert "\x07" not in written(pipe)
    assert "[bold]y" in written(pipe)


def test_what_suits_the_console(pipe: Console, terminal: Console) -> None:
    with display(pipe) as plain:
        plain.state_changed(PROGRESS)
    assert "\x1b" not in written(pipe)
    assert written(pipe).count("\n") == 1
    with display(terminal) as live:
        assert isinstance(live, LiveDisplay)


def test_silence(pipe: Console) -> None:
    with display(pipe, silent=True) as silent:
        silent.for_model("a").state_changed(PROGRESS)
        silent.trial_finished(failed(0, "why"))
        silent.state_changed(PROGRESS)
    assert written(pipe) == ""


def test_the_live_display_redraws_and_leaves_a_clean_screen(terminal: Console) -> None:
    with display(terminal) as live:
        first, second = live.for_model("first"), live.for_model("second")
        first.state_changed(replace(PROGRESS, phase="done"))
        second.trials_resumed([])
        second.trial_finished(failed(3, "it crashed"))
        second.state_changed(PROGRESS)
        assert isinstance(live, LiveDisplay)
        live.refresh()
    shown = written(terminal)
    assert "second" in shown
    assert "1 model done" in shown
    assert "trial 3: it crashed" in shown
    assert shown.rstrip().endswith("\x1b[2K")  # the last thing written erases the last line


def test_a_search_is_not_done_before_its_result_is_confirmed(pipe: Console) -> None:
    shown = UntilConfirmed(PlainDisplay(pipe).for_model("cnn64"))
    shown.state_changed(replace(PROGRESS, phase="done"))
    assert written(pipe).startswith("cnn64: deciding")
    assert "confirming whole models" in written(pipe)
    shown.finish()
    assert written(pipe).splitlines()[1].startswith("cnn64: done")


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("no space left on device")


def test_a_broken_display_is_reported_once_and_does_not_stop_the_run(caplog: pytest.LogCaptureFixture) -> None:
    plain = PlainDisplay(Console(file=Broken()), clock=iter(range(0, 10_000, 100)).__next__)
    model = plain.for_model("cnn64")
    with caplog.at_level(logging.WARNING, "ellopt.cli.progress"):
        for _ in range(5):
            model.state_changed(PROGRESS)
    assert len(caplog.records) == 1
    assert "switched off" in caplog.text


def test_a_live_display_that_cannot_draw_does_not_stop_the_run(
    terminal: Console, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> list[object]:
        raise MarkupError("broken")

    monkeypatch.setattr("ellopt.cli.progress.live_lines", fail)
    with caplog.at_level(logging.WARNING, "ellopt.cli.progress"), display(terminal) as live:
        for _ in range(3):
            live.state_changed(PROGRESS)
            assert isinstance(live, LiveDisplay)
            live.refresh()
    assert caplog.text.count("switched off") == 1


@pytest.fixture
def many(terminal: Console) -> Iterator[LiveDisplay]:
    with LiveDisplay(terminal) as live:
        yield live


def test_many_threads_at_once(many: LiveDisplay, caplog: pytest.LogCaptureFixture) -> None:
    def search(name: str) -> None:
        observer = many.for_model(name)
        for number in range(50):
            observer.trial_finished(failed(number, "because"))
            observer.state_changed(replace(PROGRESS, trials_failed=number))
            if number % 10 == 0:
                many.refresh()

    threads = [threading.Thread(target=search, args=(f"model {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert not caplog.records
