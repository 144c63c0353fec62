"""What becomes of a measured trial: complete, pruned, or failed; and the pruner that knows how races stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import Trial as OptunaTrial

from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial, TrialState
from ellopt.search.parts import make_part
from ellopt.search.samplers.base import Place, PlanSampler
from ellopt.search.settings import BUILT_IN


@dataclass(frozen=True)
class Verdict:
    """How a trial ended: complete, pruned or failed, and why. ``saved_seconds``: what pruning spared the device."""

    state: TrialState
    reason: str = ""
    saved_seconds: float = 0.0


class BehindPruner(BasePruner):
    """Prunes a trial none of whose choices may still win, by what its study's sampler knows of them."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        sampler = study.sampler
        if not isinstance(sampler, PlanSampler):
            return False
        place = sampler.place(trial.number)
        return bool(sampler.hopeless(place.plan, place.stage))


def make_pruner(name: str, seed: int = 0) -> BasePruner:
    """``behind``, or any Optuna pruner by its import path. Raises ConfigurationError, saying what is wrong."""
    return BehindPruner() if name == BUILT_IN else make_part("--pruner", name, BasePruner, seed)


def should_prune(trial: OptunaTrial) -> bool:
    """What the pruner of its study says of a trial, as the storage has it."""
    return trial.study.pruner.prune(trial.study, trial.storage.get_trial(trial._trial_id))


def judge(trial: OptunaTrial, place: Place, measured: Trial, sampler: PlanSampler) -> Verdict:
    """How a trial whose passes were reported ended, by the pruner of its study."""
    if measured.samples is None:
        return Verdict(TrialState.FAILED, measured.reason)
    pruner = trial.study.pruner
    done, pass_ms = len(measured.samples.total_ms), float(np.median(measured.samples.total_ms))
    if isinstance(pruner, BehindPruner):
        if should_prune(trial):
            reason = sampler.hopeless(place.plan, place.stage) or ""
            return Verdict(TrialState.PRUNED, reason, (sampler.most_passes - done) * pass_ms / 1000)
    else:
        spared = max(0, place.schedule.rounds * place.schedule.turn_passes - done)
        slow = plain_verdict(measured, place.schedule)
        if slow.state is not TrialState.PRUNED and (spared or should_prune(trial)):
            reason = f"{type(pruner).__name__} gave it up after {done} passes"
            return Verdict(TrialState.PRUNED, reason, spared * pass_ms / 1000)
    if sampler.hopeless(place.plan, place.stage) is None:
        return plain_verdict(measured, place.schedule)
    return Verdict(TrialState.COMPLETE)


def plain_verdict(measured: Trial, schedule: Schedule) -> Verdict:
    """Failed without samples, pruned if the runner dropped the plan as slow, else complete."""
    if measured.samples is None:
        return Verdict(TrialState.FAILED, measured.reason)
    done = len(measured.samples.total_ms)
    asked = schedule.rounds * schedule.turn_passes
    if schedule.slow_factor > 0 and done < asked and done <= schedule.turn_passes:
        spared = asked - done + (schedule.rounds - 1) * schedule.turn_warm_up
        return Verdict(
            TrialState.PRUNED,
            f"its first pass took more than {schedule.slow_factor:g} times the fastest plan's",
            spared * measured.samples.total_ms[0] / 1000,
        )
    return Verdict(TrialState.COMPLETE)
