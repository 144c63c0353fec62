"""A visit to a device as a value: what is to be run there, and under which limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.core.job import Job
from ellopt.core.plan import Plan
from ellopt.measure.checking import to_check
from ellopt.measure.on_device import perform
from ellopt.measure.results import VisitResult
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.site import MeasureSite


@dataclass(frozen=True)
class BoardFacts:
    """What is known of a kind of board when a visit is asked for.

    ``unchecked``: those plans of the job whose outputs have to be checked there. ``default_checked``: ELL's default was
    right there. ``paced``: it was timed, or cannot be; ``pass_seconds`` is what a pass took, None if not known.
    """

    unchecked: frozenset[Plan] = frozenset()
    default_checked: bool = False
    paced: bool = False
    pass_seconds: float | None = None


@dataclass(frozen=True)
class DefaultRun:
    """How ELL's default is timed, which says what hangs. ``hung``: it did so before, on some device."""

    bundle: str
    plan: Plan
    hung: bool = False


@dataclass(frozen=True)
class VisitTask:
    """One job in the bundle of digest ``bundle``, on a device of the site's choice, held for the length of the visit.

    What is checked first follows from the kind of board that it turns out to be: ``boards`` has what is known of kinds
    that were seen. ``in_turns``: plans are checked in the untimed passes of a job that measures them;
    else before it. ``default``: where its pace is not known, ELL's default is timed first. ``cores``: of the target.
    ``seconds``: how long to wait for a device, and at most to measure.
    """

    bundle: str
    job: Job
    limits: MeasureSettings
    cores: int
    in_turns: bool = False
    default: DefaultRun | None = None
    boards: Mapping[str, BoardFacts] = field(default_factory=dict)
    seconds: float = math.inf

    @property
    def needs(self) -> tuple[str, ...]:
        """The digests of the bundles that must be where it runs."""
        return (self.bundle,) if self.default is None else tuple(dict.fromkeys((self.bundle, self.default.bundle)))

    def facts(self, board: str) -> BoardFacts:
        """What is known of this kind of board: that nothing was checked on it, if it was never seen."""
        return self.boards.get(board) or BoardFacts(to_check(self.job.plans, frozenset()))

    def run(self, site: MeasureSite) -> VisitResult:
        """Visit a device. What fails is in the result; only what is wrong for good is raised."""
        return perform(self, site)


@dataclass(frozen=True)
class LookTask:
    """Lease a device to see what kind of board it is: its name for that. Raises as ``DevicePool.lease``."""

    def run(self, site: MeasureSite) -> str:
        with site.lease(math.inf) as device:
            return device.board
