"""The settings of a search."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ellopt.core.errors import ConfigurationError
from ellopt.core.nearest import did_you_mean
from ellopt.core.settings import check_seconds, check_settings, setting
from ellopt.search.evidence.constants import DEFAULTS, Constants

#: samplers by a name of ours
SAMPLERS = ("grid", "tpe", "random", "auto")
#: the name of the pruner that is used if none is named
BUILT_IN = "behind"
#: Trials of tpe and random: about a minute on two cores for a model of 20 ms.
DEFAULT_TRIALS = 40

_OWN = "the sampler's own; benchmarks and tests vary it"


def _registered() -> Collection[str]:
    """Every sampler that has a row: they are looked up only for a name that is not one of the usual."""
    from ellopt.search.samplers.registry import SAMPLERS as ROWS

    return ROWS


def _is_import_path(name: str) -> bool:
    return "." in name or ":" in name


@dataclass(frozen=True)
class SearchSettings:
    """How to search. Times are seconds.

    ``trials`` bounds the number of plans that are measured, ``timeout`` the seconds; None leaves it to the sampler:
    grid and auto end by themselves, the others after ``DEFAULT_TRIALS``.
    """

    sampler: str = setting(
        "auto",
        f"{', '.join(f'`{name}`' for name in SAMPLERS)}, or an Optuna sampler's import path, `module:Class`",
        metavar="NAME",
        suggestions=SAMPLERS,
    )
    trials: int | None = setting(
        None,
        "plans to try at most",
        default_text=f"{DEFAULT_TRIALS} for `tpe` and `random`; no limit otherwise",
        least=1,
    )
    timeout: float | None = setting(None, "no new trial starts after so long, for each model", metavar="SECONDS")
    seed: int = setting(0, "seed of the sampler")
    tolerance: float = setting(0.01, "stop when less than this share is left to gain", metavar="SHARE")
    warm_start: bool = setting(True, "do not use measurements of earlier runs")
    store: str | None = setting(
        None,
        "where measurements are kept for later runs: a file, or the URL of a database that many share",
        metavar="URL",
        default_text="`ELLOPT_STORE`, or a file in the cache",
        secret=True,
    )
    warm_up: int | None = setting(None, "untimed passes of a plan in a visit", no_option=_OWN)
    rounds: int | None = setting(None, "timed passes of a plan in a visit", no_option=_OWN)
    plans_per_visit: int | None = setting(None, "plans that one visit measures", no_option=_OWN)
    repeat: bool = setting(
        True,
        "measure again before the verdict what was measured",
        no_option="estimates would only be the same",
    )
    constants: Constants = setting(DEFAULTS, "what samplers and their evidence go by", no_option=_OWN)
    pruner: str = setting(
        BUILT_IN, "what ends a plan's passes early: `behind`, or an Optuna pruner's import path", metavar="NAME"
    )
    storage: str | None = setting(
        None,
        "URL of a database in which Optuna keeps the study",
        metavar="URL",
        default_text="a journal file",
        secret=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_seconds(self, "timeout")
        if not 0 <= self.tolerance < 1:
            raise ConfigurationError(f"--tolerance: must be at least 0 and below 1, not {self.tolerance:g}")
        if self.pruner != BUILT_IN and not _is_import_path(self.pruner):
            raise ConfigurationError(
                f"--pruner: {self.pruner!r} is unknown{did_you_mean(self.pruner, (BUILT_IN,))}; use {BUILT_IN}, or the "
                "import path of an Optuna pruner such as "
                "optuna.pruners:MedianPruner"
            )
        if self.sampler not in SAMPLERS and not _is_import_path(self.sampler) and self.sampler not in _registered():
            hint = did_you_mean(self.sampler, SAMPLERS)
            raise ConfigurationError(
                f"--sampler: {self.sampler!r} is unknown{hint}; use one of {', '.join(SAMPLERS)}, "
                "or the import path of an Optuna sampler such as optuna.samplers:GPSampler"
            )
