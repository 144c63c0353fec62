"""Robust summaries and comparisons of samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.statistics import compare, median, median_interval, quantile, summarize, without_slow_outliers

LATENCIES = st.lists(st.floats(1e-3, 1e4, allow_nan=False), min_size=1, max_size=30)


def noisy(generator: np.random.Generator, count: int, center: float = 10.0, share: float = 0.02) -> list[float]:
    return [float(v) for v in generator.normal(center, share * center, count)]


@given(LATENCIES)
def test_a_summary_lies_within_its_samples(samples: list[float]) -> None:
    summary = summarize(samples)
    assert min(samples) <= summary.low_ms <= summary.median_ms <= summary.high_ms <= max(samples)
    assert 0 <= summary.outliers < summary.count == len(samples)


@given(LATENCIES, st.floats(0.01, 100))
def test_a_summary_scales_with_the_unit(samples: list[float], factor: float) -> None:
    one, other = summarize(samples), summarize([s * factor for s in samples])
    assert other.outliers == one.outliers
    assert other.median_ms == pytest.approx(one.median_ms * factor, rel=1e-9)


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")]])
def test_no_samples_or_infinite_ones_have_no_summary(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarize(samples)


def test_slow_outliers_do_not_move_the_median() -> None:
    generator = np.random.default_rng(1)
    worst = 0.0
    for _ in range(300):
        samples = np.array(noisy(generator, 10))
        spoiled = generator.random(10) < 0.3
        samples[spoiled] *= generator.uniform(1.5, 5, spoiled.sum())
        if spoiled.sum() < 8:
            worst = max(worst, abs(summarize(list(samples)).median_ms / 10 - 1))
    assert worst < 0.04


def test_clean_samples_have_no_outliers() -> None:
    generator = np.random.default_rng(2)
    assert all(len(without_slow_outliers(noisy(generator, n))) == n for n in range(1, 30))


def test_what_scatters_or_was_mostly_spoiled_is_unstable() -> None:
    assert not summarize([1.0, 1.01, 1.02, 1.0, 0.99]).unstable
    assert summarize([1.0]).unstable
    assert summarize([1.0, 1.3, 0.7, 1.4, 0.6, 1.2]).unstable
    assert summarize([1.0, 1.0, 5.0, 4.0, 6.0, 7.0, 5.5]).unstable


@pytest.mark.parametrize("count", [6, 9, 20, 40, 250])
def test_the_interval_of_the_median_holds_it_19_times_of_20(count: int) -> None:
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(600):
        low, high = median_interval(np.sort(generator.normal(10, 1, count)))
        hits += low <= 10 <= high
    assert hits / 600 > 0.93


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("count", [6, 10, 20])
def test_equal_samples_seldom_differ_significantly(paired: bool, count: int) -> None:
    generator = np.random.default_rng(4)
    found = sum(compare(noisy(generator, count), noisy(generator, count), paired).significant for _ in range(400))
    assert found / 400 < 0.08


def test_pairs_see_through_what_slows_both() -> None:
    generator = np.random.default_rng(5)
    rounds = generator.uniform(1, 2, 10)
    a, b = (np.array(noisy(generator, 10, center, 0.005)) * rounds for center in (9.5, 10.0))
    paired, unpaired = compare(list(a), list(b), True), compare(list(a), list(b), False)
    assert paired.significant
    assert paired.gain == pytest.approx(0.05, abs=0.01)
    assert paired.gain_low < 0.05 < paired.gain_high
    assert not unpaired.significant


@settings(deadline=None)  # the first call imports scipy
@given(LATENCIES, LATENCIES)
def test_a_comparison_turns_round_with_its_sides(a: list[float], b: list[float]) -> None:
    one, other = compare(a, b, False), compare(b, a, False)
    assert one.p_value == pytest.approx(other.p_value, abs=1e-9)
    assert 1 - one.gain == pytest.approx(1 / (1 - other.gain), rel=1e-6)
    assert one.gain_low <= one.gain <= one.gain_high


def test_identical_samples_are_no_difference() -> None:
    for paired in (True, False):
        comparison = compare([2.0] * 8, [2.0] * 8, paired)
        assert (comparison.gain, comparison.p_value, comparison.significant) == (0.0, 1.0, False)


def test_one_sample_each_says_little() -> None:
    comparison = compare([1.0], [1.5], True)
    assert not comparison.significant
    assert comparison.gain_low < 0 < comparison.gain_high


def test_comparisons_need_samples_and_pairs_of_them() -> None:
    with pytest.raises(ValueError, match="both sides"):
        compare([], [1.0], False)
    with pytest.raises(ValueError, match="one length"):
        compare([1.0], [1.0, 2.0], True)


TIMES = st.lists(st.floats(1e-5, 1e6), min_size=1, max_size=60)


@given(TIMES)
def test_the_median_is_numpys_to_the_last_bit(values: list[float]) -> None:
    assert median(values) == float(np.median(values))


@given(TIMES, st.one_of(st.sampled_from((0.0, 0.1, 0.25, 0.5, 1.0)), st.floats(0, 1)))
def test_a_quantile_is_numpys_to_the_last_bit(values: list[float], share: float) -> None:
    assert quantile(values, share) == float(np.quantile(values, share))
