"""The settings of a search."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.search.evidence.constants import DEFAULTS, Constants


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    ``sampler``: grid, tpe, random, auto, or the import path of an Optuna sampler ("module:Class"). ``trials`` bounds
    the number of plans that are measured, ``timeout`` the seconds; None leaves it to the sampler: grid and auto
    end by themselves, the others after ``DEFAULT_TRIALS``. ``tolerance`` is the share of the model's latency that
    need not be looked for any further. ``warm_up`` and ``rounds`` of each plan; None: the sampler's own.
    ``repeat``: whether what was measured is measured again before the verdict; estimates would only be the same.
    ``constants``: what samplers and their evidence go by. ``pruner``: behind, or the import path of an Optuna pruner.
    ``storage``: the URL of a database in which Optuna keeps the study; None: a journal file.
    """

    sampler: str = "tpe"
    trials: int | None = None
    timeout: float | None = None
    seed: int = 0
    tolerance: float = 0.01
    warm_up: int | None = None
    rounds: int | None = None
    plans_per_visit: int | None = None
    repeat: bool = True
    constants: Constants = DEFAULTS
    pruner: str = "behind"
    storage: str | None = None


#: Trials of tpe and random: about a minute on two cores for a model of 20 ms.
DEFAULT_TRIALS = 40
