"""What every sampler of plans does: an Optuna sampler whose trials choose the options of all layers, visit by visit.

Plans that are measured in one visit, interleaved, can be compared far better than plans of several. So a sampler looks
ahead a whole visit; trials get its plans one by one. Whoever measures visits asks for one by ``proposal`` and then asks
the study for as many trials; ``study.optimize`` need not know of any of this.
"""

from __future__ import annotations

import threading
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Failure, Trial, Visit
from ellopt.files.json_values import decode
from ellopt.search.evidence.effects import Variant
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.settings import SearchSettings
from ellopt.search.trials import distributions, measured_of, parameter, plan_of
from ellopt.space.space import ModelSpace

#: The system attribute that says what a trial was made for.
ATTRIBUTE = "ellopt"
#: Beyond what a sampler wanted: trials that somebody enqueued, or asked for when the search had ended.
EXTRA = "extra"


@dataclass(frozen=True)
class Proposal:
    """Plans to measure in one visit, and what for."""

    plans: tuple[Plan, ...]
    schedule: Schedule
    stage: str


@dataclass(frozen=True)
class Place:
    """A plan's place in a visit. ``key`` is its own, for good: the visit's, a dot and a number."""

    plan: Plan
    stage: str
    schedule: Schedule
    key: str

    @property
    def visit(self) -> str:
        return self.key.rpartition(".")[0]

    def to_json(self) -> dict[str, Any]:
        return {"stage": self.stage, "key": self.key, "schedule": asdict(self.schedule)}


@dataclass(frozen=True)
class _StoredPlace:
    stage: str
    key: str
    schedule: Schedule


def place_of(trial: FrozenTrial, space: ModelSpace) -> Place:
    """The place that a trial was given. Raises ConfigurationError or ValueError if it says nonsense."""
    plan = plan_of(trial.params, space)
    data = trial.system_attrs.get(ATTRIBUTE)
    if data is None:  # somebody added it
        return Place(plan, EXTRA, Schedule(), f"{trial.number}.0")
    stored = decode(_StoredPlace, data, ATTRIBUTE)
    return Place(plan, stored.stage, stored.schedule, stored.key)


@dataclass(frozen=True)
class Explanation:
    """Variants that were pruned, and variants that were not tried, each with the reason."""

    pruned: Mapping[Variant, str] = field(default_factory=dict)
    untried: Mapping[Variant, str] = field(default_factory=dict)


class PlanSampler(BaseSampler):
    """Samples plans of ``space`` and learns, in ``evidence``, what their layers took.

    A trial has a parameter for each layer (``ellopt.search.trials``); its objective says by ``report_layers`` what each
    of them took. What a study knows already, of this process or another, is taken in before the next trial.

    ``ended``: why there is nothing more to propose. ``planned``: how many trials there will be, where that is known.
    """

    def __init__(self, space: ModelSpace, settings: SearchSettings, evidence: Evidence | None = None) -> None:
        self.space = space
        self.evidence = Evidence(space, settings.constants, not settings.repeat) if evidence is None else evidence
        self.distributions = distributions(space)
        self.ended = ""
        #: whether trials will want most of the variants, which are then built at once
        self.wants_most = True
        self.planned: int | None = None
        #: passes that a plan makes that is never given up, where one plan makes more than its visit's
        self.most_passes = 0
        self._waiting: list[Place] = []
        self._flying: dict[int, Place] = {}
        self._observed: dict[int, Trial] = {}
        self._taken: set[int] = set()
        self._failed_with: Counter[Variant] = Counter()
        self._begun = False
        self._driven = False
        self._independent = RandomSampler(seed=settings.seed)
        self._lock = threading.RLock()

    # What a sampler decides

    @abstractmethod
    def _propose(self, flying: Sequence[Place]) -> Proposal | None:
        """What to measure next. None: nothing now; nothing ever, if nothing is ``flying``: then ``ended`` says why."""

    @abstractmethod
    def _resume(self, finished: Sequence[tuple[Trial, Place]]) -> None:
        """Once, before the first proposal: what a study holds already, in order. ``evidence`` knows it."""

    @abstractmethod
    def _take(self, measured: Trial, place: Place) -> None:
        """Take in a finished trial, which ``evidence`` has learned already."""

    def _adopt(self, place: Place) -> None:
        """A trial that was begun, and left by an interrupted run, will be finished."""

    def _once(self, stage: str) -> bool:
        """Whether a variant that a layer was measured with before learns nothing more from a trial."""
        return False

    def hopeless(self, plan: Plan, stage: str) -> str | None:
        """Why nothing in ``plan`` is worth another measurement; empty if something may be, None if nobody knows."""
        return None

    def explain(self) -> Explanation:
        """At the end: which variants were given up, and which were never tried, and why."""
        return Explanation()

    # For who measures whole visits

    def proposal(self, study: Study) -> Proposal | None:
        """The visit ahead: what the next trials get. None: nothing now; nothing ever, if no trial is under way."""
        with self._lock:
            self._driven = True
            self._look_ahead(study)
            if not self._waiting:
                return None
            first = self._waiting[0]
            together = [place for place in self._waiting if place.visit == first.visit]
            return Proposal(tuple(place.plan for place in together), first.schedule, first.stage)

    def place(self, number: int) -> Place:
        """The place of a trial that is under way."""
        return self._flying[number]

    def give(self, place: Place) -> None:
        """The next trial gets ``place``."""
        with self._lock:
            self._driven = True
            self._waiting.insert(0, place)

    def assign(self, study: Study, trial: FrozenTrial, place: Place) -> None:
        """A trial that an interrupted run had begun has ``place``."""
        with self._lock:
            self._flying[trial.number] = place
            if ATTRIBUTE not in trial.system_attrs:
                study._storage.set_trial_system_attr(trial._trial_id, ATTRIBUTE, place.to_json())

    def adopt(self, number: int) -> None:
        """Trial ``number``, which was assigned a place, will be measured."""
        with self._lock:
            self._adopt(self._flying[number])

    def observe(self, number: int, measured: Trial) -> None:
        """Learn all that a trial yielded, which is more than the study will say. Its trial is told next."""
        with self._lock:
            self._observed[number] = measured
            self.evidence.add(measured, once=self._once(self._flying[number].stage))

    def begin(self, finished: Mapping[int, tuple[Trial, Place]]) -> None:
        """What the trials of a study have yielded, by number; ``evidence`` has learned it."""
        with self._lock:
            self._begun = True
            self._taken.update(finished)
            self._resume([finished[number] for number in sorted(finished)])

    def learn(self, measured: Trial, place: Place) -> None:
        """Teach ``evidence`` a finished trial, before ``begin``."""
        self.evidence.add(measured, once=self._once(place.stage))

    # Optuna's side

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        with self._lock:
            if trial.number in self._flying:
                return
            fixed = trial.system_attrs.get("fixed_params")
            if fixed is not None:
                place = self._extra(plan_of(fixed, self.space))
            else:
                self._look_ahead(study)
                place = self._waiting.pop(0) if self._waiting else self._extra(self.evidence.best_plan())
            self._flying[trial.number] = place
            study._storage.set_trial_system_attr(trial._trial_id, ATTRIBUTE, place.to_json())

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {parameter(node_id): str(options) for node_id, options in self._flying[trial.number].plan.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: OptunaState, values: Sequence[float] | None) -> None:
        """Raises ConfigurationError if a trial was told without what each layer took."""
        with self._lock:
            place = self._flying.pop(trial.number, None)
            if not self._begun:  # ``begin`` will have it
                return
            if place is not None:
                self._finish(trial, place, values)
            if not self._driven and not self._waiting:
                self._look_ahead(study)
                if not self._waiting and not self._wanted():
                    with suppress(RuntimeError):  # nobody optimizes: who asks may go on
                        study.stop()

    # How

    def _look_ahead(self, study: Study) -> None:
        if self._waiting:
            return
        self._catch_up(study)
        proposal = self._propose(self._wanted())
        if proposal is not None:
            self._waiting = _places(proposal)

    def _wanted(self) -> list[Place]:
        """The places under way that this sampler proposed: for what others asked beyond that, nothing waits."""
        return [place for place in self._flying.values() if place.stage != EXTRA]

    def _catch_up(self, study: Study) -> None:
        """Take in the finished trials that this sampler has not seen."""
        if self._begun and self._driven:
            return  # who measures visits tells of all of them
        finished = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL)
        trials = [t for t in study.get_trials(deepcopy=False, states=finished) if t.number not in self._taken]
        if self._begun:
            for trial in trials:
                if trial.number not in self._flying:
                    self._finish(trial, place_of(trial, self.space), trial.values)
            return
        found = {}
        for trial in trials:
            place = place_of(trial, self.space)
            found[trial.number] = self._learned(trial, place, trial.values), place
        self.begin(found)

    def _finish(self, trial: FrozenTrial, place: Place, values: Sequence[float] | None) -> None:
        self._taken.add(trial.number)
        measured = self._observed.pop(trial.number, None)
        if measured is None:
            measured = self._learned(trial, place, values)
        self._take(measured, place)

    def _learned(self, trial: FrozenTrial, place: Place, values: Sequence[float] | None) -> Trial:
        """What a study says of a trial, which ``evidence`` learns."""
        visit = Visit(uid=place.visit, device="", board="")
        measured = measured_of(trial, values, visit, self.space)
        self.learn(measured, place)
        if measured.samples is None:
            self.evidence.fail(self._blamed(measured))
        return measured

    def _blamed(self, measured: Trial) -> Iterable[Failure]:
        """What made a trial fail: what it says itself, and what was never measured and has failed twice."""
        for node_id, options in measured.plan.items():
            shape = self.evidence.shape_of(node_id)
            if node_id in measured.failures:
                yield Failure(shape, options, measured.failures[node_id])
            elif not measured.failures and not self.evidence.samples(shape, options):
                self._failed_with[shape, options] += 1
                if self._failed_with[shape, options] > 1:
                    yield Failure(shape, options, "every trial with it failed")

    def _extra(self, plan: Plan | None) -> Place:
        return Place(plan or self.space.default_plan, EXTRA, Schedule(), f"{_uid()}.0")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()


def _places(proposal: Proposal) -> list[Place]:
    uid = _uid()
    return [
        Place(plan, proposal.stage, proposal.schedule, f"{uid}.{number}") for number, plan in enumerate(proposal.plans)
    ]


def _uid() -> str:
    return uuid.uuid4().hex[:12]


def repaired(plan: Plan, failures: Iterable[str], space: ModelSpace) -> Plan:
    """``plan`` with ELL's default for the layers that made it fail, so that the other layers can be measured."""
    layers = space.by_id
    return plan.with_all({node_id: layers[node_id].default for node_id in failures})
