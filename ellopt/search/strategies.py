"""Strategies by name."""

from __future__ import annotations

from ellopt.core.errors import ConfigurationError
from ellopt.search.samplers.grid import Grid
from ellopt.search.settings import SearchSettings
from ellopt.search.strategy import Strategy
from ellopt.space.space import ModelSpace

NAMES = ("grid", "tpe", "random", "auto")


def make_strategy(space: ModelSpace, settings: SearchSettings, capacity: int = 1) -> Strategy:
    """The strategy that the settings name, for ``capacity`` devices at once. Raises ConfigurationError for an unknown
    one."""
    if settings.sampler == "grid":
        return Grid(space, settings)
    if settings.sampler == "auto":
        from ellopt.search.samplers.racing import Racing

        return Racing(space, settings, capacity)
    if settings.sampler in ("tpe", "random") or ":" in settings.sampler:
        from ellopt.search.samplers.layerwise import Layerwise

        return Layerwise(space, settings)
    raise ConfigurationError(
        f"--sampler: {settings.sampler!r} is unknown; use one of {', '.join(NAMES)}, or the import path of an Optuna "
        "sampler such as optuna.samplers:GPSampler"
    )
