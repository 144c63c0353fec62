"""Where builds, visits and whole models run: one seam, a row an executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import OwnGroups
from ellopt.measure.executors.base import Executor

Site = TypeVar("Site")


@dataclass(frozen=True)
class ExecutorRow:
    """``made_by``: the import path (``module:Class``) of what is called with a site and the number of tasks that may be
    under way at once. ``settings``: that of a frozen group of the executor's own, made of ``core.settings.setting``:
    its fields are options of the command line, the group is the call's third argument, and ``meant`` says of it whether
    it asks for this executor."""

    made_by: str
    settings: str = ""
    meant: Callable[[Any], bool] = lambda group: False


EXECUTORS: dict[str, ExecutorRow] = {
    "inline": ExecutorRow("ellopt.measure.executors.inline:InlineExecutor"),
    "threads": ExecutorRow("ellopt.measure.executors.threads:ThreadsExecutor"),
    "dask": ExecutorRow(
        "ellopt.measure.executors.dask.executor:DaskExecutor",
        "ellopt.measure.executors.dask.settings:FleetSettings",
        lambda fleet: fleet.meant,
    ),
}


def executor_groups() -> tuple[type, ...]:
    """The settings that executors bring."""
    return tuple(dict.fromkeys(_find(row.settings) for row in EXECUTORS.values() if row.settings))


def make_executor(name: str, site: Site, capacity: int, own: OwnGroups | None = None) -> Executor[Site]:
    """The executor called ``name``; with an empty name the first that its settings in ``own`` ask for, else ``inline``
    for one task at a time and ``threads`` for more.

    Raises ConfigurationError for a name that is not known.
    """
    own = own or OwnGroups()
    asked = (n for n, row in EXECUTORS.items() if row.settings and row.meant(own[_find(row.settings)]))
    name = name or next(asked, "inline" if capacity <= 1 else "threads")
    if name not in EXECUTORS:
        raise ConfigurationError(f"there is no executor {name!r}; there are {', '.join(EXECUTORS)}")
    row = EXECUTORS[name]
    settings = (own[_find(row.settings)],) if row.settings else ()
    executor: Executor[Site] = _find(row.made_by)(site, capacity, *settings)
    return executor


def _find(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
