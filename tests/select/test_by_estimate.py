"""What wins by estimates: ELL's default where it ties with the fastest, else the fastest; a tie is called one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.select.by_estimate import choose_by_estimate
from ellopt.select.choice import TIE_SHARE

DEFAULT, T4, T6 = map(ConvolutionOptions.parse, ("unrolled", "winograd t4", "winograd t6"))
WAYS = (DEFAULT, ConvolutionOptions.parse("simple"), T4, T6, ConvolutionOptions.parse("winograd t2"))
ERROR = 0.05


@given(st.dictionaries(st.sampled_from(WAYS), st.floats(0.9, 1.2), min_size=1))
def test_the_default_wins_ties_and_else_the_fastest_does(scores: dict[ConvolutionOptions, float]) -> None:
    choice, lowest = choose_by_estimate(scores, DEFAULT, ERROR), min(scores.values())
    if scores.get(DEFAULT, 2.0) <= lowest * (1 + ERROR):
        assert choice.winner == DEFAULT
    else:
        assert scores[choice.winner] <= lowest * (1 + TIE_SHARE)


@pytest.mark.parametrize(
    ("t6", "winner", "tie"),
    [(0.94, T6, False), (0.97, T6, True), (0.997, T4, True), (1.02, T4, True), (1.2, T4, False)],
)
def test_the_faster_of_two_that_tie_wins_unless_they_are_almost_equal(
    t6: float, winner: ConvolutionOptions, tie: bool
) -> None:
    choice = choose_by_estimate({DEFAULT: 3.0, T4: 1.0, T6: t6}, DEFAULT, ERROR)
    assert choice.winner == winner
    assert choice.tie == tie
    assert ("a tie" in choice.why) == tie
