"""What a search ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.trial import Trial
from ellopt.search.evidence.estimates import Evidence
from ellopt.space.space import ModelSpace


@dataclass(frozen=True)
class CostReport:
    builds: int = 0
    build_seconds: float = 0.0
    board_seconds: float = 0.0
    observations: int = 0
    trials_complete: int = 0
    trials_pruned: int = 0
    trials_failed: int = 0
    saved_seconds: float = 0.0  # by pruning
    wall_seconds: float = 0.0
    stopped_because: str = ""
    paused_seconds: float = 0.0  # between visits


@dataclass(frozen=True)
class BoardReport:
    runs: int = 0
    retries: int = 0
    boards: Mapping[str, int] = field(default_factory=dict)  # board -> runs
    set_aside: Mapping[str, str] = field(default_factory=dict)  # board that did not work at the end -> why
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """Everything that was measured (``evidence``), the trials in order, what it cost and why it ended.

    ``pruned``: variants that a sampler gave up, with the reason; ``untried``: why a variant was never measured.
    ``board``: what the samples may be compared with.
    """

    space: ModelSpace
    evidence: Evidence
    trials: tuple[Trial, ...]
    cost: CostReport
    boards: BoardReport
    board: str = ""
    emulated: bool = False
    pruned: Mapping[tuple[ConvolutionShape, ConvolutionOptions], str] = field(default_factory=dict)
    untried: Mapping[tuple[ConvolutionShape, ConvolutionOptions], str] = field(default_factory=dict)
