"""Monotonic deadlines that are handed downwards."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ellopt.core.errors import DeadlineExceeded


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock. A wall clock that jumps does not move it."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that passes ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def never(cls) -> Deadline:
        return cls(math.inf)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative; infinite for ``never()``."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.at

    def check(self, what: str) -> None:
        """Raise DeadlineExceeded, naming ``what``, once the deadline has passed."""
        if self.passed:
            raise DeadlineExceeded(f"{what} took longer than it may")

    def at_most(self, seconds: float) -> Deadline:
        """The earlier of this deadline and ``seconds`` from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    @property
    def timeout(self) -> float | None:
        """What ``subprocess`` and ``socket`` take: seconds left, or None for no limit."""
        return None if math.isinf(self.at) else self.remaining
