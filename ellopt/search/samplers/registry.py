"""Samplers by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ellopt.core.errors import ConfigurationError
from ellopt.search.parts import make_inner
from ellopt.search.samplers.base import PlanSampler
from ellopt.search.samplers.grid import GridSampler
from ellopt.search.samplers.layerwise import LayerwiseSampler
from ellopt.search.samplers.racing import RacingSampler
from ellopt.search.settings import SearchSettings
from ellopt.space.space import ModelSpace

Make = Callable[[ModelSpace, SearchSettings, int], PlanSampler]


def _layerwise(space: ModelSpace, settings: SearchSettings, _: int) -> PlanSampler:
    return LayerwiseSampler(space, partial(make_inner, settings.sampler), settings)


SAMPLERS: dict[str, Make] = {
    "grid": lambda space, settings, _: GridSampler(space, settings),
    "tpe": _layerwise,
    "random": _layerwise,
    "auto": lambda space, settings, capacity: RacingSampler(space, settings, capacity=capacity),
}
NAMES = tuple(SAMPLERS)


def make_sampler(space: ModelSpace, settings: SearchSettings, capacity: int = 1) -> PlanSampler:
    """The sampler that the settings name, for ``capacity`` devices at once. Raises ConfigurationError for an unknown
    one."""
    make = SAMPLERS.get(settings.sampler) or (_layerwise if ":" in settings.sampler else None)
    if make is None:
        raise ConfigurationError(
            f"--sampler: {settings.sampler!r} is unknown; use one of {', '.join(NAMES)}, or the import path of an "
            "Optuna sampler such as optuna.samplers:GPSampler"
        )
    return make(space, settings, capacity)
