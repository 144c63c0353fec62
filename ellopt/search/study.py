"""The Optuna study of a search: one trial a plan, one categorical parameter a convolution layer, in a journal file.

A trial is added when it is finished, by one line of the journal, so that a crash cannot leave half of one behind. Open
it with ``optuna-dashboard <directory>/study.journal``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState, create_trial

from ellopt.observations import read_whole_lines, set_aside
from ellopt.space import ModelSpace
from ellopt.tuning_report import TrialReport

log = logging.getLogger(__name__)

STUDY_FILE = "study.journal"
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class StudyRecord:
    """Writes finished trials into the study, in order of their numbers and each once."""

    def __init__(self, directory: Path, name: str, identity: str, space: ModelSpace) -> None:
        path = directory / STUDY_FILE
        # Nobody else writes here (the search holds the directory's lock), so a lock file that is there was left
        # behind by a killed process, and so was a last line without its end.
        for leftover in directory.glob(f"{STUDY_FILE}.lock*"):
            leftover.unlink(missing_ok=True)
        read_whole_lines(path)
        self._distributions: dict[str, BaseDistribution] = {
            parameter(layer.node_id): CategoricalDistribution(
                [str(options) for options in dict.fromkeys((*layer.variants, layer.default))]
            )
            for layer in space.layers
        }
        self.study = _open(path, name, identity)
        self._count = len(self.study.get_trials(deepcopy=False))

    def synchronise(self, trials: Mapping[int, TrialReport], passes_ms: Callable[[int], Sequence[float]]) -> None:
        """Add every trial that is not in the study yet and whose forerunners are all finished.

        ``passes_ms``: of a trial's number, the latency of each timed pass; they become its intermediate values.
        """
        while (trial := trials.get(self._count)) is not None:
            self._add(trial, passes_ms(trial.number))
            self._count += 1

    def _add(self, trial: TrialReport, passes_ms: Sequence[float]) -> None:
        state = _STATES[trial.state]
        start = _begin(self.study) + timedelta(seconds=trial.started_s)
        frozen = create_trial(
            state=state,
            value=trial.total_ms if state is TrialState.COMPLETE else None,
            params={parameter(node_id): text for node_id, text in trial.plan.items()},
            distributions=self._distributions,
            user_attrs={
                "reason": trial.reason,
                "board": trial.board,
                "board_seconds": round(trial.board_seconds, 4),
                **{f"ms {node_id}": round(ms, 6) for node_id, ms in trial.layers_ms.items()},
            },
            intermediate_values=dict(enumerate(passes_ms)),
        )
        frozen.datetime_start, frozen.datetime_complete = start, start + timedelta(seconds=trial.board_seconds)
        self.study.add_trial(frozen)


def parameter(node_id: str) -> str:
    """The name of a layer's parameter in the study."""
    return f"layer {node_id}"


def _begin(study: Study) -> datetime:
    return datetime.fromisoformat(study.user_attrs["begin"])


def _open(path: Path, name: str, identity: str) -> Study:
    """The study in the journal at ``path``; a journal that cannot be read or is of another search is set aside."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for _ in range(2):
        try:
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
            study = optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
            if not study.user_attrs:
                study.set_user_attr("begin", datetime.now().isoformat())
                study.set_user_attr("identity", identity)
            if study.user_attrs.get("identity") == identity and study.direction is StudyDirection.MINIMIZE:
                return study
            log.info("%s belongs to another search and is set aside", path)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:  # Optuna checks nothing
            log.warning("%s cannot be read (%s) and is set aside", path, error)
        set_aside(path)
    raise AssertionError("a new journal could not be used")
