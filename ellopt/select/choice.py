"""What was chosen for layers of a shape, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.core.options import ConvolutionOptions
from ellopt.core.statistics import Comparison

#: A simpler option that cannot be told apart from the fastest wins if its time is at most this share above.
TIE_SHARE = 0.005


@dataclass(frozen=True)
class Choice:
    """``scores``: milliseconds of what could win. ``error``: by what share scores may be off that repeating does not
    show; 0 where they are measurements."""

    winner: ConvolutionOptions
    runner_up: ConvolutionOptions | None
    against_runner_up: Comparison | None
    against_default: Comparison | None
    tie: bool
    why: str
    scores: Mapping[ConvolutionOptions, float] = field(default_factory=dict)
    rejected: frozenset[ConvolutionOptions] = frozenset()
    error: float = 0.0
