"""Strategies by name."""

from __future__ import annotations

from ellopt.errors import ConfigurationError
from ellopt.search.grid import Grid
from ellopt.search.settings import SearchSettings
from ellopt.search.strategy import Strategy
from ellopt.space import ModelSpace

NAMES = ("grid", "tpe", "random", "auto")


def make_strategy(space: ModelSpace, settings: SearchSettings) -> Strategy:
    """The strategy that the settings name. Raises ConfigurationError for an unknown one."""
    if settings.sampler == "grid":
        return Grid(space, settings)
    if settings.sampler in ("tpe", "random", "auto") or ":" in settings.sampler:
        from ellopt.search.layerwise import Layerwise

        return Layerwise(space, settings)
    raise ConfigurationError(
        f"--sampler: {settings.sampler!r} is unknown; use one of {', '.join(NAMES)}, or the import path of an Optuna "
        "sampler such as optuna.samplers:GPSampler"
    )
