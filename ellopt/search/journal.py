"""What a search has finished, on disk: the observation log is the truth, the Optuna study follows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ellopt.core.trial import Costs, Failure, Trial
from ellopt.search.observation_log import ObservationLog
from ellopt.search.observer import SearchObserver
from ellopt.search.study import StudyRecord
from ellopt.space.space import ModelSpace

LOG_FILE = "observations.jsonl"


class Journal:
    """Finished trials by number. A trial is announced, and added to the study, once all before it are finished."""

    def __init__(self, directory: Path, name: str, identity: str, space: ModelSpace, observer: SearchObserver) -> None:
        self._log = ObservationLog(directory / LOG_FILE, identity, space)
        self._observer = observer
        self._announced = 0
        self._reserved: set[int] = set()
        self._resumed = frozenset(self._log.trials)
        begun = self._log.begun.astimezone().replace(tzinfo=None)
        self._study = StudyRecord(directory, name, identity, space, begun, self._log.trials)
        while self._announced in self._log.trials:
            self._announced += 1
        observer.trials_resumed(self.trials)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(trial for _, trial in sorted(self._log.trials.items()))

    @property
    def failures(self) -> Sequence[Failure]:
        return self._log.failures

    @property
    def costs(self) -> Costs:
        return self._log.costs

    @property
    def elapsed(self) -> float:
        """Seconds that the search took before this run."""
        return max((trial.started_s + trial.board_seconds for trial in self._log.trials.values()), default=0.0)

    def reserve(self, count: int) -> tuple[int, ...]:
        """The next free trial numbers."""
        numbers: list[int] = []
        candidate = 0
        while len(numbers) < count:
            if candidate not in self._log.trials and candidate not in self._reserved:
                numbers.append(candidate)
            candidate += 1
        self._reserved.update(numbers)
        return tuple(numbers)

    def keep(self, trials: Iterable[Trial], failures: Iterable[Failure] = (), costs: Costs | None = None) -> None:
        """Write down what one visit yielded, then tell the study and the observer."""
        self._log.append(trials, failures, costs)
        self._study.synchronise(self._log.trials)
        while (trial := self._log.trials.get(self._announced)) is not None:
            if self._announced not in self._resumed:
                self._observer.trial_finished(trial)
            self._announced += 1
