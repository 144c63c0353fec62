"""Where builds, visits and whole models run: one seam, a row an executor."""

from __future__ import annotations

from importlib import import_module
from typing import TypeVar

from ellopt.core.errors import ConfigurationError
from ellopt.measure.executors.base import Executor

Site = TypeVar("Site")

#: Name -> module and class, which is called with a site and the number of tasks that may be under way at once.
EXECUTORS: dict[str, tuple[str, str]] = {
    "inline": ("ellopt.measure.executors.inline", "InlineExecutor"),
    "threads": ("ellopt.measure.executors.threads", "ThreadsExecutor"),
}


def make_executor(name: str, site: Site, capacity: int) -> Executor[Site]:
    """The executor called ``name``; with an empty name ``inline`` for one task at a time, else ``threads``.

    Raises ConfigurationError for a name that is not known.
    """
    name = name or ("inline" if capacity <= 1 else "threads")
    if name not in EXECUTORS:
        raise ConfigurationError(f"there is no executor {name!r}; there are {', '.join(EXECUTORS)}")
    module, kind = EXECUTORS[name]
    executor: Executor[Site] = getattr(import_module(module), kind)(site, capacity)
    return executor
