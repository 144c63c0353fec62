"""How plans are tried: what a search asks for, and the interface it asks through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ellopt.core.job import Job
from ellopt.core.plan import Plan


@dataclass(frozen=True)
class Schedule:
    """How plans are measured in one visit; the numbers mean what they mean in a Job."""

    kind: Literal["profile", "bench"] = "profile"
    warm_up: int = 1
    rounds: int = 5
    turn_warm_up: int = 1
    turn_passes: int = 1
    settle: bool = True
    slow_factor: float = 0.0

    @property
    def passes(self) -> int:
        """Passes that one plan makes, untimed ones included, but for those in which caches settle."""
        return self.warm_up + self.rounds * (self.turn_warm_up + self.turn_passes)

    def job(self, plans: Sequence[Plan], unchecked: frozenset[Plan] = frozenset()) -> Job:
        """The job that measures ``plans`` by this schedule, and checks those that are ``unchecked``."""
        return Job(
            kind=self.kind,
            plans=tuple(plans),
            warm_up=self.warm_up,
            rounds=self.rounds,
            turn_warm_up=self.turn_warm_up,
            turn_passes=self.turn_passes,
            settle=self.settle,
            slow_factor=self.slow_factor,
            unchecked=unchecked,
        )
