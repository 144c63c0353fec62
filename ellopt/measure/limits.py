"""How long a run on a device may take before it is said to hang."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ellopt.core.job import Job
from ellopt.toolchains.settling import MOST_PASSES

#: A run that takes this many times what ELL's default would take hangs: whatever it computes, it does not win.
SLOWEST = 20.0
#: Runs of a plan in one pass of a job, at most: two forms of its code, each with profiling and without.
RUNS_A_PASS = 4
#: Inputs of a check.
CHECK_INPUTS = 2


@dataclass
class RunLimits:
    """The limits by kind of board, from what a pass of the default plan took there. Safe to use from several threads.

    ``least`` and ``grace`` are seconds: no run hangs before the first; a job without a known pace may take the second
    beyond its own limit.
    """

    least: float
    grace: float
    _pass_seconds: dict[str, float | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, board: str) -> bool:
        """Whether ``learn`` was called for this kind of board."""
        with self._lock:
            return board in self._pass_seconds

    def learn(self, board: str, pass_seconds: float | None) -> None:
        """What a pass of the default plan took; None if it could not be found out. The longest counts."""
        with self._lock:
            known = self._pass_seconds.get(board)
            self._pass_seconds[board] = pass_seconds if known is None else max(known, pass_seconds or 0.0)

    def seconds(self, board: str, job: Job) -> float:
        """How long the command of ``job`` may run on ``board``."""
        longest = job.limit_seconds + self.grace
        with self._lock:
            pace = self._pass_seconds.get(board)
        if pace is None:
            return longest
        passes = CHECK_INPUTS
        if job.kind != "check":
            passes = job.warm_up + job.rounds * (max(job.turn_warm_up, MOST_PASSES) + job.turn_passes)
        return min(longest, self.least + SLOWEST * pace * RUNS_A_PASS * passes * len(job.plans))

    def explained(self, board: str) -> str:
        """Words for what the limit follows from; empty where that is not known."""
        with self._lock:
            pace = self._pass_seconds.get(board)
        return "" if pace is None else f"; a pass of ELL's default takes {1000 * pace:.3g} ms"
