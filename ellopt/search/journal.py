"""What a search has finished, on disk: the observation log is the truth, the Optuna study follows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ellopt.core.trial import Costs, Failure, TrialRecord, TrialReport
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
        self._reports = {number: trial_report(record) for number, record in self._log.trials.items()}
        self._announced = 0
        self._reserved: set[int] = set()
        self._resumed = frozenset(self._reports)
        begun = self._log.begun.astimezone().replace(tzinfo=None)
        self._study = StudyRecord(directory, name, identity, space, begun, self._reports, self._passes)
        while self._announced in self._reports:
            self._announced += 1
        observer.trials_resumed([self._reports[number] for number in sorted(self._reports)])

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        return tuple(record for _, record in sorted(self._log.trials.items()))

    @property
    def reports(self) -> tuple[TrialReport, ...]:
        return tuple(report for _, report in sorted(self._reports.items()))

    @property
    def failures(self) -> Sequence[Failure]:
        return self._log.failures

    @property
    def costs(self) -> Costs:
        return self._log.costs

    @property
    def elapsed(self) -> float:
        """Seconds that the search took before this run."""
        return max((r.started_s + r.outcome.board_seconds for r in self._log.trials.values()), default=0.0)

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

    def keep(
        self, records: Iterable[TrialRecord], failures: Iterable[Failure] = (), costs: Costs | None = None
    ) -> None:
        """Write down what one visit yielded, then tell the study and the observer."""
        records = tuple(records)
        self._log.append(records, failures, costs)
        for record in records:
            self._reports[record.number] = trial_report(record)
        self._study.synchronise(self._reports)
        self._announce()

    def _passes(self, number: int) -> Sequence[float]:
        samples = self._log.trials[number].outcome.samples
        return samples.total_ms if samples else ()

    def _announce(self) -> None:
        while (report := self._reports.get(self._announced)) is not None:
            if self._announced not in self._resumed:
                self._observer.trial_finished(report, self._log.trials[self._announced].outcome.samples)
            self._announced += 1


def trial_report(record: TrialRecord) -> TrialReport:
    outcome = record.outcome
    samples = outcome.samples
    return TrialReport(
        number=record.number,
        plan={node_id: str(options) for node_id, options in outcome.plan.items()},
        state=record.state,
        reason=record.reason,
        total_ms=float(np.median(samples.total_ms)) if samples else None,
        layers_ms={n: float(np.median(values)) for n, values in samples.layers_ms.items()} if samples else {},
        board=outcome.visit.device if outcome.visit else "",
        board_seconds=outcome.board_seconds,
        started_s=record.started_s,
        best_total_ms=record.best_total_ms,
    )
