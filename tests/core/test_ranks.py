"""Tests of ranks, beside SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ellopt.core.ranks import EXACT_PAIRS, rank_sum_p, signed_rank_p

#: with ties, and without
VALUES = st.one_of(st.integers(-6, 6).map(float), st.floats(-10, 10, allow_subnormal=False))
SAMPLES = st.lists(VALUES, min_size=1, max_size=40).map(np.array)


@settings(max_examples=150, deadline=None)
@given(SAMPLES)
def test_pairs(differences: np.ndarray) -> None:
    nonzero = differences[differences != 0]
    if nonzero.size == 0:
        assert signed_rank_p(differences) == 1.0
        return
    exact = nonzero.size <= EXACT_PAIRS and np.unique(np.abs(nonzero)).size == nonzero.size
    expected = stats.wilcoxon(nonzero, method="exact" if exact else "approx").pvalue
    assert signed_rank_p(differences) == pytest.approx(min(1.0, expected), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(SAMPLES, SAMPLES)
def test_two_samples(a: np.ndarray, b: np.ndarray) -> None:
    if np.unique(np.concatenate([a, b])).size == 1:
        assert rank_sum_p(a, b) == 1.0
        return
    expected = stats.mannwhitneyu(a, b, alternative="two-sided").pvalue
    assert rank_sum_p(a, b) == pytest.approx(min(1.0, expected), abs=1e-9)
    assert rank_sum_p(a, b) == pytest.approx(rank_sum_p(b, a), abs=1e-12)
