"""What a search tells those who watch it: trackers, progress displays, logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from ellopt.core.trial import Trial

Phase = Literal["building", "checking", "measuring", "deciding", "done"]


@dataclass(frozen=True)
class SearchProgress:
    """Where a search stands. Times in seconds unless the name says milliseconds; None: not known yet."""

    phase: Phase
    trials_complete: int = 0
    trials_pruned: int = 0
    trials_failed: int = 0
    trials_planned: int | None = None  # all that will be made, where that is known
    variants_measured: int = 0  # distinct (layer, options) with at least one sample
    variants_total: int = 0
    builds: int = 0
    builds_in_flight: int = 0
    boards_busy: int = 0
    boards_total: int = 0
    boards_set_aside: int = 0
    last_board: str = ""  # where the last visit was made; in a fleet with its worker's name
    observations: int = 0
    board_seconds: float = 0.0
    saved_seconds: float = 0.0  # by pruning
    elapsed: float = 0.0
    time_left: float | None = None
    default_ms: float | None = None  # whole model, ELL's default options
    best_ms: float | None = None  # whole model, best choice of every layer so far
    message: str = ""

    @property
    def trials_finished(self) -> int:
        return self.trials_complete + self.trials_pruned + self.trials_failed

    @property
    def gain(self) -> float | None:
        """How much less time the best choice takes than the default, as a share of the default's."""
        if self.default_ms is None or self.best_ms is None or self.default_ms <= 0:
            return None
        return 1.0 - self.best_ms / self.default_ms


class SearchObserver(Protocol):
    """Called from the thread that runs the search, never from two threads at once. Must not block for long."""

    def trial_finished(self, trial: Trial) -> None:
        """A trial came to its end in this run. Called in order of numbers.

        Trials that an interrupted run had finished are not announced again: see ``trials_resumed``.
        """

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        """Once, before anything is measured: the trials that an interrupted run of the same search had finished."""

    def state_changed(self, progress: SearchProgress) -> None:
        """Something a display shows has changed."""


class Display(SearchObserver, Protocol):
    """An observer of one search, and the parent of observers for several that run at once."""

    def for_model(self, name: str) -> SearchObserver:
        """The observer of the search of the model called ``name``."""


class Silent:
    """Watches without doing anything."""

    def trial_finished(self, trial: Trial) -> None: ...

    def trials_resumed(self, trials: Sequence[Trial]) -> None: ...

    def state_changed(self, progress: SearchProgress) -> None: ...


@dataclass(frozen=True)
class Observers:
    """Several observers as one."""

    members: tuple[SearchObserver, ...] = field(default=())

    def trial_finished(self, trial: Trial) -> None:
        for member in self.members:
            member.trial_finished(trial)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        for member in self.members:
            member.trials_resumed(trials)

    def state_changed(self, progress: SearchProgress) -> None:
        for member in self.members:
            member.state_changed(progress)


class UntilConfirmed:
    """Hands on what a search tells, but not its end: more work follows, and ``finish`` says when that is done, too."""

    def __init__(self, observer: SearchObserver) -> None:
        self._observer = observer
        self._end: SearchProgress | None = None

    def trial_finished(self, trial: Trial) -> None:
        self._observer.trial_finished(trial)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self._observer.trials_resumed(trials)

    def state_changed(self, progress: SearchProgress) -> None:
        if progress.phase == "done":
            self._end = progress
            progress = replace(progress, phase="deciding", message="confirming whole models", time_left=None)
        self._observer.state_changed(progress)

    def finish(self) -> None:
        if self._end is not None:
            self._observer.state_changed(self._end)
