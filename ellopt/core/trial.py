"""Trials: one plan each, what was measured of it, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.shapes import ConvolutionShape

#: The number of a trial that no search has numbered.
UNNUMBERED = -1


class TrialState(StrEnum):
    """``PRUNED``: measured less than planned, or given up afterwards, as clearly slower. ``FAILED``: not measured."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class Visit:
    """One run of one job on one device. Samples of one visit were measured interleaved, round by round.

    ``disturbed`` says what was wrong with the device around it; empty if nothing was. ``paused``: the seconds that were
    waited before it, so that visits are apart.
    """

    uid: str
    device: str
    board: str
    emulated: bool = False
    disturbed: str = ""
    paused: float = 0.0


@dataclass(frozen=True)
class Failure:
    """Options that do not work for a shape: they do not build, crash, hang or compute something else."""

    shape: ConvolutionShape
    options: ConvolutionOptions
    reason: str


@dataclass(frozen=True)
class Trial:
    """One plan that was tried: what measures it makes it, a search numbers and judges it, a report keeps it.

    ``samples`` are None where it failed, or was only to be checked. ``reason``: why it failed or was pruned.
    ``failures``: node id -> reason, for the layers whose options are to blame. ``board_seconds``: the plan's part of
    the time the device was busy.

    The fields from ``number`` on are the search's. ``stage``: what the trial was made for. ``saved_seconds``: what
    pruning spared the device. ``started_s``: seconds since the search began, interruptions not counted.
    ``best_total_ms``: the best latency of the whole model known after it.
    """

    plan: Plan
    samples: PlanSamples | None = None
    visit: Visit | None = None
    state: TrialState = TrialState.COMPLETE
    reason: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)
    board_seconds: float = 0.0
    number: int = UNNUMBERED
    stage: str = ""
    saved_seconds: float = 0.0
    started_s: float = 0.0
    best_total_ms: float | None = None

    @classmethod
    def without_samples(
        cls, plan: Plan, reason: str, failures: Mapping[str, str] | None = None, visit: Visit | None = None
    ) -> Trial:
        """A plan that failed."""
        return cls(plan, None, visit, TrialState.FAILED, reason, failures or {})

    @property
    def device(self) -> str:
        """The name of the device that measured it; empty if none did."""
        return self.visit.device if self.visit else ""

    @cached_property
    def total_ms(self) -> float | None:
        """The median latency of the whole model; None without samples."""
        return float(np.median(self.samples.total_ms)) if self.samples else None

    @cached_property
    def layers_ms(self) -> Mapping[str, float]:
        """Node id -> median latency of that convolution layer; empty without samples."""
        return {n: float(np.median(values)) for n, values in self.samples.layers_ms.items()} if self.samples else {}


@dataclass(frozen=True)
class Costs:
    """What was spent."""

    builds: int = 0
    build_seconds: float = 0.0
    board_seconds: float = 0.0
    observations: int = 0
    runs: int = 0
    retries: int = 0
    boards: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    def __add__(self, other: Costs) -> Costs:
        boards = {
            name: self.boards.get(name, 0) + other.boards.get(name, 0) for name in {**self.boards, **other.boards}
        }
        return Costs(
            self.builds + other.builds,
            self.build_seconds + other.build_seconds,
            self.board_seconds + other.board_seconds,
            self.observations + other.observations,
            self.runs + other.runs,
            self.retries + other.retries,
            boards,
            self.failures + other.failures,
        )

    def __sub__(self, earlier: Costs) -> Costs:
        """What was spent since ``earlier``, an earlier state of the same count."""
        return Costs(
            self.builds - earlier.builds,
            self.build_seconds - earlier.build_seconds,
            self.board_seconds - earlier.board_seconds,
            self.observations - earlier.observations,
            self.runs - earlier.runs,
            self.retries - earlier.retries,
            {name: count - earlier.boards.get(name, 0) for name, count in self.boards.items()},
            self.failures[len(earlier.failures) :],
        )
