"""Runs tasks in threads of this process, one for each that is under way."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ellopt.measure.executors.base import Task

Site = TypeVar("Site")
Result = TypeVar("Result")


class ThreadsExecutor(Generic[Site]):
    """See ``Executor``."""

    ahead = 0  # who submits is near
    at_once = False

    def __init__(self, site: Site, capacity: int) -> None:
        self.capacity = capacity
        self._site = site
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def submit(self, task: Task[Site, Result]) -> Future[Result]:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.capacity, thread_name_prefix="visit")
            return self._threads.submit(_run, task, self._site)

    def rest(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True)


def _run(task: Task[Site, Result], site: Site) -> Result:
    return task.run(site)
