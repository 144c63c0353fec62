"""Choosing by estimates: each is exact in itself, and all may be off by a share that repeating does not show.

No test says anything of them, and a lead of at most that share is a tie. ELL's default wins where it ties; else what is
estimated to be fastest, which is the likeliest to be, though the report calls it a tie.
"""

from __future__ import annotations

from collections.abc import Mapping

from ellopt.core.numbers import less, percent
from ellopt.core.options import ConvolutionOptions
from ellopt.core.statistics import Comparison, of_estimates
from ellopt.select.choice import TIE_SHARE, Choice
from ellopt.space.space import simplicity


def choose_by_estimate(scores: Mapping[ConvolutionOptions, float], default: ConvolutionOptions, error: float) -> Choice:
    """``default`` where its estimate is at most ``error`` above the lowest; else the simplest of those that are at most
    ``TIE_SHARE`` above it. ``scores``: milliseconds of at least one variant."""
    lowest = min(scores.values())

    def within(share: float) -> list[ConvolutionOptions]:
        return [options for options in scores if scores[options] <= lowest * (1 + share)]

    if default in within(error):
        winner = default
    else:
        winner = min(within(min(error, TIE_SHARE)), key=lambda options: (simplicity(options), scores[options]))
    rest = [options for options in scores if options != winner]
    runner_up = min(rest, key=lambda options: scores[options], default=None)

    def against(other: ConvolutionOptions | None) -> Comparison | None:
        if other is None or other == winner or other not in scores:
            return None
        return of_estimates(scores[winner], scores[other], error)

    against_runner_up, against_default = against(runner_up), against(default)
    tie = against_runner_up is not None and not against_runner_up.significant
    why = _why(winner, default, runner_up, against_runner_up, against_default, error)
    return Choice(winner, runner_up, against_runner_up, against_default, tie, why, dict(scores), error=error)


def _why(
    winner: ConvolutionOptions,
    default: ConvolutionOptions,
    runner_up: ConvolutionOptions | None,
    against_runner_up: Comparison | None,
    against_default: Comparison | None,
    error: float,
) -> str:
    if winner == default:
        text = (
            f"By estimate nothing is faster than ELL's default, {default}, by more than the error of {percent(error)}"
        )
    elif against_default is None:
        text = "ELL's default was not estimated"
    else:
        text = f"It is estimated to take {less(against_default.gain)} than ELL's default"
    if runner_up is None or against_runner_up is None:
        return text + "; nothing else was estimated."
    if against_runner_up.significant:
        return text + f"; {less(against_runner_up.gain)} than the runner-up {runner_up}."
    return text + f"; a tie with {runner_up}, from which it differs by less than the error of {percent(error)}."
