"""How long a run on a device may take before it is said to hang."""

from __future__ import annotations

from ellopt.core.job import Job
from ellopt.measure.settings import MeasureSettings
from ellopt.toolchains.settling import MOST_PASSES

#: A run that takes this many times what ELL's default would take hangs: whatever it computes, it does not win.
SLOWEST = 20.0
#: Runs of a plan in one pass of a job, at most: two forms of its code, each with profiling and without.
RUNS_A_PASS = 4
#: Inputs of a check.
CHECK_INPUTS = 2


def longest_seconds(job: Job, limits: MeasureSettings, pass_seconds: float | None) -> float:
    """How long the command of ``job`` may run on a kind of board where a pass of ELL's default takes ``pass_seconds``.

    Where that is not known (None), it may take the grace beyond the job's own limit.
    """
    longest = job.limit_seconds + limits.run_grace
    if pass_seconds is None:
        return longest
    passes = CHECK_INPUTS
    if job.kind != "check":
        passes = job.warm_up + job.rounds * (max(job.turn_warm_up, MOST_PASSES) + job.turn_passes)
    return min(longest, limits.run_least + SLOWEST * pass_seconds * RUNS_A_PASS * passes * len(job.plans))


def explained(pass_seconds: float | None) -> str:
    """Words for what the limit follows from; empty where that is not known."""
    return "" if pass_seconds is None else f"; a pass of ELL's default takes {1000 * pass_seconds:.3g} ms"
