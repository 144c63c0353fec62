"""Student's t distribution, beside SciPy's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from ellopt.core.student import quantile, two_sided_p

FREEDOM = st.integers(1, 400).map(float) | st.floats(1, 400)


@settings(max_examples=300, deadline=None)
@given(st.floats(-200, 200, allow_subnormal=False), FREEDOM)
def test_probabilities(t: float, freedom: float) -> None:
    assert two_sided_p(t, freedom) == pytest.approx(2 * special.stdtr(freedom, -abs(t)), rel=1e-9, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.5, 0.9999), FREEDOM)
def test_quantiles(probability: float, freedom: float) -> None:
    assert quantile(probability, freedom) == pytest.approx(special.stdtrit(freedom, probability), rel=1e-8, abs=1e-9)


def test_what_is_no_chance_at_all() -> None:
    assert two_sided_p(float("inf"), 5) == 0
    assert two_sided_p(0.0, 5) == 1
