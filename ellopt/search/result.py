"""What a search ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.observations import Outcome
from ellopt.options import ConvolutionOptions
from ellopt.search.knowledge import Knowledge
from ellopt.shapes import ConvolutionShape
from ellopt.space import ModelSpace
from ellopt.tuning_report import BoardReport, CostReport, TrialReport


@dataclass(frozen=True)
class SearchResult:
    """Everything that was measured (``knowledge``), the trials in order, what it cost and why it ended.

    ``pruned``: variants that a strategy gave up, with the reason; ``untried``: why a variant was never measured.
    ``board``: what the samples may be compared with.
    """

    space: ModelSpace
    knowledge: Knowledge
    trials: tuple[TrialReport, ...]
    outcomes: tuple[Outcome, ...]
    cost: CostReport
    boards: BoardReport
    board: str = ""
    emulated: bool = False
    pruned: Mapping[tuple[ConvolutionShape, ConvolutionOptions], str] = field(default_factory=dict)
    untried: Mapping[tuple[ConvolutionShape, ConvolutionOptions], str] = field(default_factory=dict)
