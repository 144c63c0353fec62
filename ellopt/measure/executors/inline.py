"""Runs each task at once, on the thread that submits it: with one device nothing else then disturbs a measurement."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Generic, TypeVar

from ellopt.measure.executors.base import Task

Site = TypeVar("Site")
Result = TypeVar("Result")


class InlineExecutor(Generic[Site]):
    """See ``Executor``. Futures that it returns have ended. An interruption is not kept in one, but raised."""

    ahead = 0
    at_once = True

    def __init__(self, site: Site, capacity: int = 1) -> None:
        self.capacity = capacity
        self._site = site

    def submit(self, task: Task[Site, Result]) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(task.run(self._site))
        except Exception as error:  # as any future keeps it
            future.set_exception(error)
        return future

    def rest(self) -> None:
        """Nothing is under way."""
