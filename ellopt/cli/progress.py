"""Live progress in the terminal; plain lines, seldom, where there is none; nothing when silent.

A display never stops a run: whatever goes wrong in it is logged once, and the display falls silent.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ellopt.core.trial import Trial, TrialState
from ellopt.files.terminal import printable
from ellopt.report import words
from ellopt.search.observer import Display, SearchObserver, SearchProgress, Silent

_LOG = logging.getLogger(__name__)

#: Seconds between plain lines of one model.
PLAIN_INTERVAL = 10.0
_BAR_WIDTH = 28


@contextmanager
def display(console: Console, silent: bool = False) -> Iterator[Display]:
    """The display that suits ``console``, for the length of a ``with``."""
    if silent:
        yield SilentDisplay()
    elif console.is_terminal and not console.is_dumb_terminal:
        live = LiveDisplay(console)
        with live:
            yield live
    else:
        yield PlainDisplay(console)


class SilentDisplay(Silent):
    """Shows nothing."""

    def for_model(self, name: str) -> SearchObserver:
        return self


class _Guard:
    """Runs what a display does, one thing at a time; an exception ends the display, not the run."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._broken = False

    def run(self, action: Callable[[], None]) -> None:
        try:
            with self._lock:
                if not self._broken:
                    action()
        except Exception:  # logged without the lock: what is logged goes through the console, which has its own
            self._broken = True
            _LOG.warning("the progress display failed and is switched off", exc_info=True)


class _Model:
    """What is known of one model's search, told to its display."""

    def __init__(self, name: str, guard: _Guard, changed: Callable[[_Model], None]) -> None:
        self.name = printable(name)
        self.progress: SearchProgress | None = None
        self.resumed = 0
        self.last_failure = ""
        self.last_line = -float("inf")  # plain display: when a line was written
        self._received = 0.0
        self._guard = guard
        self._changed = changed

    def now(self) -> SearchProgress | None:
        """The last progress, its clocks moved on to this moment."""
        progress = self.progress
        if progress is None or progress.phase == "done":
            return progress
        since = time.monotonic() - self._received
        left = None if progress.time_left is None else max(0.0, progress.time_left - since)
        return replace(progress, elapsed=progress.elapsed + since, time_left=left)

    def trial_finished(self, trial: Trial) -> None:
        if trial.state is TrialState.FAILED:
            self.last_failure = f"trial {trial.number}: {trial.reason}"

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self.resumed = len(trials)

    def state_changed(self, progress: SearchProgress) -> None:
        self.progress = progress
        self._received = time.monotonic()
        self._guard.run(lambda: self._changed(self))


class _Several(ABC):
    """A display of several models that is itself the observer of a search without a name."""

    def __init__(self) -> None:
        self._guard = _Guard()
        self._models: list[_Model] = []
        self._own: _Model | None = None

    def for_model(self, name: str) -> SearchObserver:
        model = _Model(name, self._guard, self._changed)
        self._models = [*self._models, model]
        return model

    @abstractmethod
    def _changed(self, model: _Model) -> None:
        """Show that a model's search has gone on."""

    @property
    def _unnamed(self) -> SearchObserver:
        if self._own is None:
            self._own = _Model("", self._guard, self._changed)
            self._models = [*self._models, self._own]
        return self._own

    def trial_finished(self, trial: Trial) -> None:
        self._unnamed.trial_finished(trial)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self._unnamed.trials_resumed(trials)

    def state_changed(self, progress: SearchProgress) -> None:
        self._unnamed.state_changed(progress)


class PlainDisplay(_Several):
    """A line at the beginning and the end of a search, and at most one each PLAIN_INTERVAL seconds between."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._console = console
        self._clock = clock
        self._phases: dict[int, str] = {}

    def _changed(self, model: _Model) -> None:
        progress = model.progress
        if progress is None:
            return
        new_phase = self._phases.get(id(model)) != progress.phase and (
            progress.phase == "done" or id(model) not in self._phases
        )
        now = self._clock()
        if not new_phase and now - model.last_line < PLAIN_INTERVAL:
            return
        self._phases[id(model)] = progress.phase
        model.last_line = now
        line = Text(plain_line(progress, model.name, model.resumed))
        self._console.print(line, soft_wrap=True)


class LiveDisplay(_Several):
    """A few lines that are redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._live = Live(console=console, get_renderable=self._drawn, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveDisplay:
        try:
            self._live.start(refresh=True)
        except Exception:
            _LOG.warning("the progress display cannot be shown", exc_info=True)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._live.stop()
        except Exception:
            _LOG.warning("the progress display could not be taken down", exc_info=True)

    def refresh(self) -> None:
        """Draw now, besides four times a second."""
        self._live.refresh()

    def _changed(self, model: _Model) -> None:
        """The live display redraws by itself."""

    def _drawn(self) -> RenderableType:
        content: list[RenderableType] = [Text("starting")]

        def draw() -> None:
            known = [(m, m.now()) for m in self._models]
            active = [(m, p) for m, p in known if p is not None and p.phase != "done"]
            lines = [line for m, p in active for line in live_lines(p, m.name, m.last_failure)]
            done = sum(p is not None for _, p in known) - len(active)
            if done:
                lines.append(Text(f"{words.count(done, 'model')} done", style="green"))
            if lines:
                content[:] = lines

        self._guard.run(draw)
        return Group(*content)


def live_lines(progress: SearchProgress, name: str, last_failure: str = "") -> list[RenderableType]:
    """What the live display shows of one model's search."""
    head = Table.grid(padding=(0, 1))
    cells: list[RenderableType] = [Text(name, style="bold")] if name else []
    cells.append(Text(progress.phase, style="cyan"))
    done, total, unit = _course(progress)
    if total:
        cells.append(ProgressBar(total=total, completed=min(done, total), width=_BAR_WIDTH))
        cells.append(Text(f"{done}/{total} {unit}"))
    cells.append(Text(_time(progress), style="dim"))
    head.add_row(*cells)
    told = [(_trials(progress) + "; " + _best(progress), ""), (_work(progress), "dim"), (progress.message, "dim")]
    if last_failure:
        told.append((f"last failure: {last_failure}", "yellow"))
    lines = [Text(f"  {printable(t)}", style=style, overflow="ellipsis", no_wrap=True) for t, style in told if t]
    return [head, *lines]


def plain_line(progress: SearchProgress, name: str = "", resumed: int = 0) -> str:
    """The same in one line."""
    done, total, unit = _course(progress)
    parts = [progress.phase + (f" {done}/{total} {unit}" if total else ""), _trials(progress), _best(progress)]
    parts += [_work(progress), _time(progress)]
    if resumed:
        parts.append(f"{words.count(resumed, 'trial')} of an earlier run")
    if progress.message:
        parts.append(printable(progress.message))
    return (f"{name}: " if name else "") + ", ".join(part for part in parts if part)


def _course(progress: SearchProgress) -> tuple[int, int, str]:
    """How far a search is: by trials where their number is known, else by variants."""
    if progress.trials_planned:
        return progress.trials_finished, progress.trials_planned, "trials"
    return progress.variants_measured, progress.variants_total, "variants"


def _trials(progress: SearchProgress) -> str:
    return f"{progress.trials_complete} done, {progress.trials_pruned} pruned, {progress.trials_failed} failed"


def _best(progress: SearchProgress) -> str:
    if progress.best_ms is None:
        return "nothing measured yet"
    gain = "" if progress.gain is None else f" ({words.change(progress.gain)})"
    return f"best {words.milliseconds(progress.best_ms)}{gain}"


def _work(progress: SearchProgress) -> str:
    idle = max(0, progress.boards_total - progress.boards_busy - progress.boards_set_aside)
    boards = f"boards {progress.boards_busy} busy, {idle} idle"
    if progress.boards_set_aside:
        boards += f", {progress.boards_set_aside} set aside"
    if progress.last_board and progress.boards_total > 1:
        boards += f", last {printable(progress.last_board)}"
    return f"{words.count(progress.builds_in_flight, 'build')} in flight, {boards}"


def _time(progress: SearchProgress) -> str:
    text = words.duration(round(progress.elapsed, 1))
    if progress.time_left is not None and progress.phase != "done":
        text += f", about {words.duration(progress.time_left)} left"
    return text
