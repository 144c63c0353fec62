"""The Optuna study of a search: one trial a plan, one categorical parameter a convolution layer, in a journal file.

It follows from the observations: where it does not say what they say, it is set aside and written anew. Open it with
``optuna-dashboard <directory>/study.journal``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from ellopt.core.trial import Trial, TrialState
from ellopt.files.atomic import set_aside
from ellopt.search.study_journal import StudyJournal
from ellopt.space.space import ModelSpace

log = logging.getLogger(__name__)

STUDY_FILE = "study.journal"
_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
#: What comes of a journal with wrong content: Optuna checks nothing of what it reads.
_UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, LookupError, OptunaError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class StudyRecord:
    """Writes finished trials into the study, in order of their numbers and each once.

    ``begun``: when the search began, in this place's time. ``trials`` are those that are finished; the latencies of
    a trial's timed passes become its intermediate values.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        identity: str,
        space: ModelSpace,
        begun: datetime,
        trials: Mapping[int, Trial],
    ) -> None:
        self._path, self._name, self._identity, self._begun = directory / STUDY_FILE, name, identity, begun
        # Nobody else writes while the search holds the directory: a lock file was left behind by a killed process.
        for leftover in directory.glob(f"{STUDY_FILE}.lock*"):
            leftover.unlink(missing_ok=True)
        self._distributions: dict[str, BaseDistribution] = {
            parameter(layer.node_id): CategoricalDistribution(
                [str(options) for options in dict.fromkeys((*layer.variants, layer.default))]
            )
            for layer in space.layers
        }
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._count = 0
        if not self._continue(trials):
            if self._path.exists():
                set_aside(self._path)
            self._journal = StudyJournal(self._path)
            self._study = self._create()
        self.synchronise(trials)

    def synchronise(self, trials: Mapping[int, Trial]) -> None:
        """Add every trial that is not in the study yet and whose forerunners are all finished."""
        with self._journal.at_once():
            while (trial := trials.get(self._count)) is not None:
                self._study.add_trial(self._frozen(trial))
                self._count += 1

    def _continue(self, trials: Mapping[int, Trial]) -> bool:
        """Go on with the study that is there. False if there is none that says what the trials say."""
        if not self._path.exists():
            return False
        try:
            self._journal = StudyJournal(self._path)
            self._study = optuna.load_study(study_name=self._name, storage=JournalStorage(self._journal))
            found = self._study.get_trials(deepcopy=False)
            self._begun = datetime.fromisoformat(self._study.user_attrs["begin"]).astimezone().replace(tzinfo=None)
            if self._study.user_attrs["identity"] != self._identity or self._study.direction is not _MINIMIZE:
                log.info("%s belongs to another search and is set aside", self._path)
                return False
            same = not self._journal.damaged and all(
                trial.number in trials and _content(trial) == _content(self._frozen(trials[trial.number]))
                for trial in found
            )
        except _UNREADABLE as error:
            log.warning("%s cannot be read (%s) and is written anew from the observations", self._path, error)
            return False
        if not same:
            log.warning("%s does not say what was observed, and is written anew from the observations", self._path)
        self._count = len(found) if same else 0
        return same

    def _create(self) -> Study:
        with self._journal.at_once():
            study = optuna.create_study(
                storage=JournalStorage(self._journal), study_name=self._name, direction="minimize"
            )
            study.set_user_attr("begin", self._begun.isoformat())
            study.set_user_attr("identity", self._identity)
        return study

    def _frozen(self, trial: Trial) -> FrozenTrial:
        state = _STATES[trial.state]
        start = self._begun + timedelta(seconds=trial.started_s)
        frozen = create_trial(
            state=state,
            value=trial.total_ms if state is OptunaState.COMPLETE else None,
            params={parameter(node_id): str(options) for node_id, options in trial.plan.items()},
            distributions=self._distributions,
            user_attrs={
                "reason": trial.reason,
                "board": trial.device,
                "board_seconds": round(trial.board_seconds, 4),
                **{f"ms {node_id}": round(ms, 6) for node_id, ms in trial.layers_ms.items()},
            },
            intermediate_values=dict(enumerate(trial.samples.total_ms if trial.samples else ())),
        )
        frozen.datetime_start, frozen.datetime_complete = start, start + timedelta(seconds=trial.board_seconds)
        return frozen


def parameter(node_id: str) -> str:
    """The name of a layer's parameter in the study."""
    return f"layer {node_id}"


_MINIMIZE = StudyDirection.MINIMIZE


def _content(trial: FrozenTrial) -> tuple[object, ...]:
    """What a trial says, apart from when it was added."""
    return (
        trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs, trial.intermediate_values,
    )  # fmt: skip
