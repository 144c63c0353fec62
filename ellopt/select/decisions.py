"""What was decided, and on what evidence: for each layer, and for the whole model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.statistics import Comparison

VariantState = Literal["measured", "pruned", "failed", "untried"]


@dataclass(frozen=True)
class VariantReport:
    """One distinct way to compute a layer."""

    options: ConvolutionOptions
    state: VariantState
    samples_ms: tuple[float, ...] = ()  # raw
    median_ms: float | None = None  # the score: the median of decided_ms, decided on, sorted by and shown
    unstable: bool = False
    reason: str = ""
    source: str = "measured"  # or "store", for a warm start
    decided_ms: tuple[float, ...] = ()  # samples less what visits, turns and places did to them, without slow outliers
    seldom: bool = False  # measured too seldom to win


@dataclass(frozen=True)
class LayerReport:
    """A convolution layer: what was tried, what won and why."""

    node_id: str
    name: str
    shape: str
    multiply_adds: int
    variants: tuple[VariantReport, ...]
    winner: ConvolutionOptions
    winner_ms: float
    default: ConvolutionOptions
    default_ms: float
    share_of_model: float
    runner_up: ConvolutionOptions | None = None
    against_default: Comparison | None = None
    against_runner_up: Comparison | None = None
    tie: bool = False
    why: str = ""  # one sentence for a reader
    #: what an output model of ELL's format tells ELL, where that differs from the winner
    ell_options: ConvolutionOptions | None = None


@dataclass(frozen=True)
class WholeModel:
    """The whole model measured in one interleaved confirmation."""

    name: str  # "ell default", "best uniform", "assembled", ...
    plan: Plan
    samples_ms: tuple[float, ...]  # every pass
    latency_ms: float  # the geometric mean of its turns, see ellopt.core.turns: decided on, sorted by and shown
    turns_ms: tuple[float, ...] = ()  # the turns that count, each the median of its passes
    modes_ms: tuple[float, ...] = ()  # the medians of the groups that the passes fall into, where there are several


@dataclass(frozen=True)
class Confirmation:
    candidates: tuple[WholeModel, ...]
    chosen: str  # name of the candidate that was written
    before: str  # name of the candidate that is ELL's default
    against_before: Comparison | None = None
    why: str = ""
    visits: int = 0
    states: str = ""  # what depended on the state of the machine, in sentences; empty if nothing did

    @property
    def written(self) -> WholeModel | None:
        """The candidate that was written: not always the winners of the layers, another may be faster as a whole."""
        return next((candidate for candidate in self.candidates if candidate.name == self.chosen), None)
