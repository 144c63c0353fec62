"""What visits to devices yielded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.shapes import ConvolutionShape

TrialState = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class TrialReport:
    """One plan that was proposed, run and measured."""

    number: int
    plan: Mapping[str, str]
    state: TrialState
    reason: str = ""
    total_ms: float | None = None
    layers_ms: Mapping[str, float] = field(default_factory=dict)
    board: str = ""
    board_seconds: float = 0.0
    started_s: float = 0.0  # since the run began
    best_total_ms: float | None = None  # best assembled latency known after this trial


@dataclass(frozen=True)
class Visit:
    """One run of one job on one device. Samples of one visit were measured interleaved, round by round.

    ``disturbed`` says what was wrong with the device around it; empty if nothing was.
    """

    uid: str
    device: str
    board: str
    emulated: bool = False
    disturbed: str = ""


@dataclass(frozen=True)
class Failure:
    """Options that do not work for a shape: they do not build, crash, hang or compute something else."""

    shape: ConvolutionShape
    options: ConvolutionOptions
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of one plan: samples, or why there are none.

    ``failures``: node id -> reason, for the layers whose options are to blame. ``board_seconds`` is the plan's part
    of the time the device was busy.
    """

    plan: Plan
    samples: PlanSamples | None
    visit: Visit | None = None
    reason: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)
    board_seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.samples is None


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


@dataclass(frozen=True)
class TrialRecord:
    """An entry of the log: the outcome of a trial, its number, what it was made for and how it was judged.

    ``state``: complete, pruned, failed. ``best_total_ms``: the best model latency known after it. ``started_s``:
    seconds since the search began, interruptions not counted.
    """

    number: int
    stage: str
    outcome: Outcome
    state: TrialState = "complete"
    reason: str = ""
    saved_seconds: float = 0.0
    started_s: float = 0.0
    best_total_ms: float | None = None
