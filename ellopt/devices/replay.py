"""Boards that answer from a record: to try out searches and schedulers without hardware."""

from __future__ import annotations

from collections.abc import Callable

from ellopt.core.deadline import Deadline
from ellopt.core.samples import DeviceState
from ellopt.devices.base import Times
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.pool.fixed import FixedSource
from ellopt.devices.pool.leasing import Pace, Pool

#: gives the answer of a recorded board; may raise what ``Device.run`` may raise
Answer = Callable[[Bundle, Invocation, Deadline], Execution]


class ReplayDevice:
    """A board whose answers come from ``answer``."""

    times: Times = "real"
    here = False

    def __init__(self, answer: Answer, name: str = "replay", board: str = "replay") -> None:
        self._answer = answer
        self.name = name
        self.board = board

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        return self._answer(bundle, invocation, deadline)

    def abort(self) -> None:
        """Answers come at once: there is nothing to end."""

    def rearm(self) -> None:
        """Nothing was ended."""

    def state(self) -> DeviceState:
        """A board at rest."""
        return DeviceState(throttled=False, load=0.0)


class ReplayPool(Pool):
    """``count`` recorded boards that all answer alike, or one for each of ``answers``."""

    def __init__(self, *answers: Answer, count: int | None = None, board: str = "replay", pace: Pace | None = None):
        if not answers:
            raise ValueError("a replay pool needs answers")
        every = answers * count if count is not None else answers
        devices = [ReplayDevice(answer, f"replay {index}", board) for index, answer in enumerate(every, 1)]
        super().__init__(FixedSource(devices), len(devices), pace=pace)
