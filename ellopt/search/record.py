"""What a search has finished: the trials of its study, and the raw samples behind them.

Samples are written first. So whatever stops a search, a trial that the study does not know as finished, but that was
measured, is told to it when the search goes on; and one that was only begun is measured under its own number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState as OptunaState

from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Costs, Failure, Trial, TrialState, Visit
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.known_study import HOLDS, known_name, write_known
from ellopt.search.observation_log import Observation, ObservationLog
from ellopt.search.observer import SearchObserver
from ellopt.search.pruning import Verdict, plain_verdict, should_prune
from ellopt.search.samplers.base import ATTRIBUTE, Place, PlanSampler
from ellopt.search.stored_trials import STATES, read, report_passes, unfinished, write
from ellopt.search.study import StudyOf, open_study

LOG_FILE = "observations.jsonl"
Judge = Callable[[OptunaTrial, Place, Trial], Verdict]


@dataclass(frozen=True)
class Asked:
    """The trials of one visit that is to be measured, and their places in it."""

    trials: tuple[OptunaTrial, ...]
    places: tuple[Place, ...]

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(place.plan for place in self.places)

    @property
    def schedule(self) -> Schedule:
        return self.places[0].schedule


class SearchRecord:
    """Finished trials by number. A trial is announced once all before it are finished.

    Opening it brings study and samples together; ``sampler`` gets what the study holds by ``resume``. ``close`` leaves
    a study in a database to other searches.
    """

    def __init__(
        self,
        directory: Path,
        storage: str | None,
        name: str,
        identity: str,
        sampler: PlanSampler,
        pruner: BasePruner,
        observer: SearchObserver,
    ) -> None:
        self._sampler, self._observer = sampler, observer
        self._log = ObservationLog(directory / LOG_FILE, identity, sampler.space)
        what = StudyOf(name, identity, self._log.begun)
        opened = open_study(directory, storage, what, sampler, pruner, self._check)
        self._in_file = storage is None
        self._search_space: dict[str, BaseDistribution] = dict(sampler.distributions)
        self._study, self._storage, self._flush = opened.study, opened.storage, opened.flush
        self.close = opened.release
        self._finished: dict[int, Trial] = {}
        self._places: dict[int, Place] = {}
        self._abandoned: list[tuple[OptunaTrial, Place]] = []
        try:
            self._bring_together()
        except BaseException:
            self.close()
            raise
        self._announced = 0
        self._resumed = frozenset(self._finished)
        while self._announced in self._finished:
            self._announced += 1
        observer.trials_resumed(self.trials)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(trial for _, trial in sorted(self._finished.items()))

    @property
    def failures(self) -> Sequence[Failure]:
        return self._log.failures

    @property
    def costs(self) -> Costs:
        return self._log.costs

    @property
    def elapsed(self) -> float:
        """Seconds that the search took before this run."""
        return max((trial.started_s + trial.board_seconds for trial in self._finished.values()), default=0.0)

    @property
    def found(self) -> tuple[tuple[Trial, Place], ...]:
        """What the study held when it was opened, in order."""
        return tuple((self._finished[number], self._places[number]) for number in sorted(self._places))

    def resume(self) -> None:
        """Hand the sampler, whose evidence has learned it, what the study holds."""
        self._sampler.begin({number: (self._finished[number], place) for number, place in self._places.items()})
        for trial, _ in self._abandoned:
            self._sampler.adopt(trial.number)

    def ask(self) -> Asked | None:
        """The next visit: one that an interrupted run had begun, or what the sampler wants. None: nothing now."""
        if self._abandoned:
            visit = self._abandoned[0][1].visit
            together = [(trial, place) for trial, place in self._abandoned if place.visit == visit]
            self._abandoned = [entry for entry in self._abandoned if entry[1].visit != visit]
            return Asked(tuple(trial for trial, _ in together), tuple(place for _, place in together))
        proposal = self._sampler.proposal(self._study)
        if proposal is None:
            return None
        trials = tuple(self._study.ask(self._search_space) for _ in proposal.plans)
        return Asked(trials, tuple(self._sampler.place(trial.number) for trial in trials))

    def observe(
        self,
        asked: Asked | None,
        measured: Sequence[Trial],
        started_s: float,
        failures: Iterable[Failure],
        costs: Costs,
    ) -> None:
        """Write down what a visit, or building, yielded: from here on it is not lost."""
        places = asked.places if asked is not None else ()
        known = set(self._log.failures)
        self._log.append(
            [
                Observation(place.key, replace(trial, stage=place.stage, started_s=started_s))
                for place, trial in zip(places, measured, strict=True)
            ],
            [failure for failure in failures if failure not in known],
            costs,
        )

    def goes_on(self, asked: Asked, number: int, measured: Trial) -> bool:
        """Whether a trial of a visit, of which so much was measured, is worth more."""
        trial = asked.trials[number]
        report_passes(self._storage, trial, measured)
        return not should_prune(trial)

    def finish(
        self,
        asked: Asked,
        measured: Sequence[Trial],
        judge: Judge,
        started_s: float,
        best_total_ms: float | None,
    ) -> None:
        """Tell the study, then the observer, what became of the trials of a visit."""
        for trial, place, done in zip(asked.trials, asked.places, measured, strict=True):
            self._tell(trial, place, done, judge, started_s, best_total_ms)
        self._flush()
        while (finished := self._finished.get(self._announced)) is not None:
            if self._announced not in self._resumed:
                self._observer.trial_finished(finished)
            self._announced += 1

    def explain(self, known: int, evidence: Evidence) -> None:
        """Say in the study what its trials are, of whose variants so many were ``known`` from earlier runs; in a file,
        write another study of what samples of the layers let one expect."""
        name, holds = self._study.study_name, "plans that were measured in this search"
        if known:
            holds += "; earlier runs had measured variants of the layers (known_variants), so these plans differ little"
        if self._in_file:
            holds += f"; the importance of parameters of so few is noise: see the study {known_name(name)!r}"
        said = {HOLDS: holds, "known_variants": known}
        if said.items() <= self._study.user_attrs.items():
            return  # the search was over already
        for key, value in said.items():
            self._study.set_user_attr(key, value)
        if self._in_file:
            write_known(self._storage, name, evidence)
        self._flush()

    def _tell(
        self,
        trial: OptunaTrial,
        place: Place,
        measured: Trial,
        judge: Judge,
        started_s: float,
        best_total_ms: float | None,
    ) -> None:
        report_passes(self._storage, trial, measured)
        verdict = judge(trial, place, measured)
        judged = replace(
            measured,
            state=verdict.state,
            reason=verdict.reason,
            number=trial.number,
            stage=place.stage,
            saved_seconds=verdict.saved_seconds,
            started_s=started_s,
            best_total_ms=best_total_ms,
        )
        write(trial, judged)
        self._study.tell(trial, judged.total_ms if judged.state is TrialState.COMPLETE else None, STATES[judged.state])
        self._finished[trial.number] = judged

    # Opening

    def _check(self, study: Study) -> None:
        """Raises ValueError or ConfigurationError for a study that does not say what was observed."""
        keys, unseen = set(), set()
        for trial in study.get_trials(deepcopy=False):
            if trial.state in STATES.values():
                finished, place = read(trial, self._sampler.space, self._log.observations)
                keys.add(place.key)
                if place.key not in self._log.observations:
                    unseen.add(_measurement(finished))
            elif trial.state is OptunaState.RUNNING:
                keys.add(unfinished(trial, self._sampler.space).key)
            else:
                keys.add(str(trial.number))  # somebody's wish
        if len(keys) < len(study.get_trials(deepcopy=False)):
            raise ValueError("two trials are one")
        if any(_measurement(o.trial) in unseen for key, o in self._log.observations.items() if key not in keys):
            raise ValueError("a trial has another key than its samples")

    def _bring_together(self) -> None:
        space, untold = self._sampler.space, dict(self._log.observations)
        running: list[FrozenTrial] = []
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state in STATES.values():
                self._finished[trial.number], place = read(trial, space, self._log.observations)
                self._places[trial.number] = place
                untold.pop(place.key, None)
            elif trial.state is OptunaState.RUNNING:
                running.append(trial)
        for found in running:
            place = unfinished(found, space)
            key = place.key
            if ATTRIBUTE not in found.system_attrs and untold:  # all that was written of a trial that was measured
                key = next(iter(untold))
            seen = untold.pop(key, None)
            if seen is not None:
                place = Place(seen.trial.plan, seen.trial.stage, place.schedule, key)
            self._sampler.assign(self._study, found, place)
            begun = OptunaTrial(self._study, found._trial_id)
            for name, distribution in self._sampler.distributions.items():
                begun.suggest_categorical(name, distribution.choices)
            if seen is not None:
                self._recover(begun, place, seen)
            else:
                self._abandoned.append((begun, place))
        for seen in untold.values():
            self._sampler.give(Place(seen.trial.plan, seen.trial.stage, Schedule(), seen.key))
            asked = self._study.ask(self._search_space)
            self._recover(asked, self._sampler.place(asked.number), seen)
        self._flush()

    def _recover(self, trial: OptunaTrial, place: Place, seen: Observation) -> None:
        """Tell the study what it does not know of a trial that was measured."""

        def verdict(_: OptunaTrial, place: Place, measured: Trial) -> Verdict:
            return plain_verdict(measured, place.schedule)

        self._tell(trial, place, seen.trial, verdict, seen.trial.started_s, None)
        self._places[trial.number] = place


def _measurement(trial: Trial) -> tuple[Plan, Visit | None, float]:
    """What no two trials have in common."""
    return trial.plan, trial.visit, trial.started_s
