"""Work as a value, and what every executor does with it.

A task can be sent: it is a frozen dataclass without locks, connections or open files, and what it needs of the place
where it runs it gets from there, as its ``site``. What a task yields is a value, too. An order of tasks in which each
depends on the results before it is written as a generator (``Steps``) that asks for tasks and gets their results.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

Site_co = TypeVar("Site_co", covariant=True)
SiteOfTask = TypeVar("SiteOfTask", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Task(Protocol[SiteOfTask, Result_co]):
    """Something to do at a site. Picklable, and so is its result."""

    def run(self, site: SiteOfTask) -> Result_co: ...


class Executor(Protocol[Site_co]):
    """Runs tasks, here or elsewhere."""

    #: how many tasks can run at once
    capacity: int
    #: how many more are worth submitting meanwhile: each waits where it will run, and begins as soon as another ends
    ahead: int
    #: whether a task has ended when ``submit`` returns: it ran here, and nothing beside it
    at_once: bool

    def submit(self, task: Task[Site_co, Result]) -> Future[Result]:
        """Run ``task``. The future has its result or what it raised, or an InfrastructureError if the task was lost
        together with the place where it ran: then it may be submitted again."""

    def rest(self) -> None:
        """Wait for the tasks that are under way, and hold nothing, no thread nor connection, until the next one."""


Steps = Generator[Task[Any, Any], Any, Result]


def result_of(task: Task[Any, Result]) -> Steps[Result]:
    """Ask for ``task``; its result."""
    result: Result = yield task
    return result


def start(steps: Steps[Result], executor: Executor[Any]) -> Future[Result]:
    """Begin with ``steps`` and go on with them as the tasks end that they ask for; what they return.

    They are taken on the thread on which a task ended, one after the other. No thread waits for them meanwhile.
    """
    course = _Course(steps, executor)
    course.go_on(None)
    return course.result


class _Course(Generic[Result]):
    def __init__(self, steps: Steps[Result], executor: Executor[Any]) -> None:
        self._steps, self._executor = steps, executor
        self.result: Future[Result] = Future()

    def go_on(self, answer: Future[Any] | None) -> None:
        try:
            while True:
                if answer is None:
                    task = next(self._steps)
                elif (error := answer.exception()) is not None:
                    task = self._steps.throw(error)
                else:
                    task = self._steps.send(answer.result())
                answer = self._executor.submit(task)
                if not answer.done():
                    answer.add_done_callback(self.go_on)
                    return
        except StopIteration as end:
            self.result.set_result(end.value)
        except Exception as error:  # whoever waits for the result gets it, as from any future
            self.result.set_exception(error)
