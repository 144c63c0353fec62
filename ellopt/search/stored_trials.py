"""Trials as a search's study holds them: what is written of one, and what is read, if it can be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState as OptunaState

from ellopt.core.plan import Plan
from ellopt.core.trial import Trial, TrialState, Visit
from ellopt.files.json_values import decode
from ellopt.search.observation_log import Observation
from ellopt.search.samplers.base import ATTRIBUTE, Place, place_of
from ellopt.search.trials import FAILURES, LAYERS, distributions, measured_of
from ellopt.space.space import ModelSpace

#: User attributes: why a trial was pruned or failed; on what device it was measured; what only ellopt needs to know.
REASON, BOARD, DETAILS = "reason", "board", "details"
STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
_OURS = {theirs: ours for ours, theirs in STATES.items()}
#: no time that a search measures is as long: seconds, or milliseconds of a pass
_LONGEST = 1e9


@dataclass(frozen=True)
class _Details:
    board_seconds: float
    saved_seconds: float
    started_s: float
    best_total_ms: float | None
    visit: Visit | None


def report_passes(storage: BaseStorage, trial: OptunaTrial, measured: Trial) -> None:
    """The passes as intermediate values, over what an interrupted run may have left there."""
    for step, ms in enumerate(measured.samples.total_ms if measured.samples else ()):
        storage.set_trial_intermediate_value(trial._trial_id, step, ms)


def write(trial: OptunaTrial, judged: Trial) -> None:
    """What a study keeps of a trial beside its parameters, passes and value."""
    trial.set_user_attr(REASON, judged.reason)
    trial.set_user_attr(BOARD, judged.device)
    details = _Details(judged.board_seconds, judged.saved_seconds, judged.started_s, judged.best_total_ms, judged.visit)
    trial.set_user_attr(DETAILS, asdict(details))
    if judged.samples is not None:
        trial.set_user_attr(LAYERS, {node_id: round(ms, 6) for node_id, ms in judged.layers_ms.items()})
    if judged.failures:
        trial.set_user_attr(FAILURES, dict(judged.failures))


def read(trial: FrozenTrial, space: ModelSpace, seen: Mapping[str, Observation]) -> tuple[Trial, Place]:
    """A finished trial and its place, with the samples in ``seen`` if they are there, else what the study says of them.

    Raises ValueError or ConfigurationError for what no search could have written.
    """
    place = place_of(trial, space)
    _require(_exists(place.plan, space), "has unknown options")
    _require(ATTRIBUTE not in trial.system_attrs or trial.params.keys() >= distributions(space).keys(), "lacks a layer")
    details = decode(_Details, trial.user_attrs.get(DETAILS), DETAILS)
    reason = decode(str, trial.user_attrs.get(REASON), REASON)
    times = (details.board_seconds, details.saved_seconds, details.started_s, details.best_total_ms or 0.0)
    _require(all(abs(time) < _LONGEST for time in times), "has an impossible time")
    state = _OURS[trial.state]
    observation = seen.get(place.key)
    if observation is not None:
        measured = observation.trial
        _require(measured.plan == place.plan and measured.stage == place.stage, "is of another plan than its samples")
    else:
        measured = measured_of(trial, trial.values, details.visit or Visit(place.visit, "", ""), space)
    _require((measured.samples is None) == (state is TrialState.FAILED), "is of another state than its samples")
    if measured.samples is not None:
        passes = measured.samples.total_ms
        told = [trial.intermediate_values.get(step, math.nan) for step in range(len(passes))]
        _require(observation is None or all(map(_same, told, passes)), "has other passes than were observed")
        same = _same(trial.value, float(np.median(passes)))
        _require(state is not TrialState.COMPLETE or same, "has another value than was observed")
    judged = replace(
        measured,
        visit=measured.visit if observation is not None else details.visit,
        state=state,
        reason=reason,
        board_seconds=details.board_seconds,
        number=trial.number,
        stage=place.stage,
        saved_seconds=details.saved_seconds,
        started_s=details.started_s,
        best_total_ms=details.best_total_ms,
    )
    return judged, place


def unfinished(trial: FrozenTrial, space: ModelSpace) -> Place:
    """The place of a trial that was begun. Raises ValueError or ConfigurationError."""
    place = place_of(trial, space)
    _require(_exists(place.plan, space), "has unknown options")
    return place


def _exists(plan: Plan, space: ModelSpace) -> bool:
    layers = space.by_id
    return all(options in (*layers[n].variants, layers[n].default) for n, options in plan.items())


def _same(a: float | None, b: float) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"a trial {what}")
