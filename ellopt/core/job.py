"""Work for one visit to a device, and what it yields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck, PlanSamples

FloatArray = npt.NDArray[np.float32]
JobKind = Literal["check", "profile", "bench", "outputs"]


@dataclass(frozen=True)
class Job:
    """Work for one visit to a device.

    * ``check``: every plan runs once on the bundle's check input; each step's output is compared with the reference,
      and the reference is what the next step reads, so that errors do not spread.
    * ``outputs``: every plan runs on each of ``inputs``, [input, row, column, channel], where the toolchain
      ``gives_outputs``; what comes back is the model's output.
    * ``profile``: ``warm_up`` untimed passes of every plan, then ``rounds`` rounds. In a round each plan has its
      turn: ``turn_warm_up`` untimed passes, with ``settle`` at least as many as its weights need to stay in the caches
      (see ``settling``), then ``turn_passes`` timed ones with the time of every node. Plans are thus interleaved
      round by round.
    * ``bench``: the same, but only whole passes are timed: no cost of profiling inside.

    ``limit_seconds``: the runner stops at the end of the round in which it passes; finished rounds count.
    ``slow_factor``: where positive, a plan whose first timed pass is slower than this times the fastest first pass
    so far takes no further part (its one sample is kept).
    ``unchecked``: plans whose first untimed pass in a turn is a check, if need be one more, where the toolchain
    ``checks_in_turns``.
    """

    kind: JobKind
    plans: tuple[Plan, ...]
    warm_up: int = 1
    rounds: int = 5
    turn_warm_up: int = 1
    turn_passes: int = 1
    settle: bool = True
    threads: int = 0  # 0: the target's cores
    limit_seconds: float = 60.0
    slow_factor: float = 0.0
    unchecked: frozenset[Plan] = frozenset()
    inputs: FloatArray | None = field(default=None, compare=False)

    @property
    def once(self) -> Job:
        """The same for a device that simulates one core and gives the same times again and again: two passes that warm
        caches, the first of which may be a check that does not, and one that counts. Jobs that measure nothing stay as
        they are."""
        if self.kind not in ("profile", "bench"):
            return self
        return replace(
            self, warm_up=0, rounds=1, turn_warm_up=2, turn_passes=1, settle=False, threads=1, slow_factor=0.0
        )


@dataclass(frozen=True)
class JobResult:
    """What a job yielded: ``samples`` in the order of the job's plans (profile, bench), ``checks`` of check jobs and of
    unchecked plans, ``outputs`` [plan, input, element] of jobs for them."""

    samples: tuple[PlanSamples, ...] = ()
    checks: tuple[LayerCheck, ...] = ()
    seconds: float = 0.0
    outputs: FloatArray | None = field(default=None, compare=False)
