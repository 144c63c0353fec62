"""How plans are tried: what a search asks for, and the interface it asks through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ellopt.deadline import Deadline
from ellopt.observations import Costs, Failure, Outcome
from ellopt.options import Plan
from ellopt.space import ModelSpace
from ellopt.toolchains.base import Job


@dataclass(frozen=True)
class Procedure:
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
        """The job that measures ``plans`` by this procedure, and checks those that are ``unchecked``."""
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


@dataclass(frozen=True)
class LaboratoryStatus:
    """What goes on now."""

    builds: int = 0
    builds_in_flight: int = 0
    boards_busy: int = 0
    boards_total: int = 1
    boards_set_aside: int = 0


class Measures(Protocol):
    """What a search needs: the laboratory, or a replay of recorded measurements."""

    @property
    def capacity(self) -> int:
        """How many visits can be under way at once."""

    @property
    def costs(self) -> Costs: ...

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Options that were found not to work, in the order in which that was found."""

    def board(self) -> str:
        """What measurements here may be compared with."""

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from whatever thread, when ``status`` changes."""

    def stop(self) -> None:
        """End, from another thread, what runs on devices; whoever waits for it gets an InfrastructureError."""

    def prepare(self, space: ModelSpace) -> None:
        """Build all that ``space`` may ask for, where one bundle can hold it."""

    def status(self) -> LaboratoryStatus: ...

    def reject(self, failures: Sequence[Failure]) -> None:
        """Failures that an earlier run found: those options are never tried again."""

    def measure(
        self, plans: Sequence[Plan], procedure: Procedure, deadline: Deadline | None = None
    ) -> tuple[Outcome, ...]:
        """Measure ``plans`` interleaved in one visit; one outcome each, in their order."""

    def check(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[Outcome, ...]:
        """Check the outputs of whatever in ``plans`` has not been checked on this kind of board.

        Outcomes without samples, whose ``reason`` is empty where all is well.
        """
