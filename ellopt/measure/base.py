"""What a search asks for, and the interface it asks through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from ellopt.core.deadline import Deadline
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Costs, Failure, Trial
from ellopt.space.space import ModelSpace


@dataclass(frozen=True)
class MeasurerStatus:
    """What goes on now."""

    builds: int = 0
    builds_in_flight: int = 0
    boards_busy: int = 0
    boards_total: int = 1
    set_aside: Mapping[str, str] = field(default_factory=dict)  # board -> why


class Measurer(Protocol):
    """What a search needs: one over devices, or a replay of recorded measurements."""

    @property
    def capacity(self) -> int:
        """How many visits can be made at once."""

    @property
    def ahead(self) -> int:
        """How many more may be under way, so that none who makes them waits for the next."""

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

    @property
    def piecemeal(self) -> bool:
        """Whether it pays to build what is wanted first, and more when that is wanted: nothing is sent anywhere."""

    def prepare(self, space: ModelSpace) -> None:
        """Build all that ``space`` may ask for, where one bundle can hold it; a larger space takes its place."""

    def status(self) -> MeasurerStatus: ...

    def reject(self, failures: Sequence[Failure]) -> None:
        """Failures that an earlier run found: those options are never tried again."""

    def submit(
        self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None
    ) -> Future[tuple[Trial, ...]]:
        """Begin to ``measure``; with one device it has ended when this returns. Up to ``capacity`` and
        ``ahead`` at once."""

    def rest(self) -> None:
        """Wait for what is under way, and hold no thread until the next measurement."""

    def measure(self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None) -> tuple[Trial, ...]:
        """Measure ``plans`` interleaved in one visit; one trial each, in their order."""

    def check(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[Trial, ...]:
        """Check the outputs of whatever in ``plans`` has not been checked on this kind of board.

        Trials without samples, complete where all is well.
        """
