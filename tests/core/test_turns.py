"""Whole models that took turns: latencies, gains, intervals and p-values are of one estimator."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.statistics import compare, of_scores
from ellopt.core.turns import Turns, compare_runs, modes, turn_values

MS = st.floats(0.0001, 1000.0)
#: models a and b, some visits of some rounds
TURNS = st.integers(1, 4).flatmap(
    lambda visits: st.lists(st.tuples(st.integers(0, visits - 1), st.tuples(MS, MS)), min_size=1, max_size=40)
)


def turns_of(rows: list[tuple[int, tuple[float, float]]]) -> Turns[str]:
    values: dict[str, dict[tuple[int, int], float]] = {"a": {}, "b": {}}
    for number, (visit, (a, b)) in enumerate(rows):
        values["a"][visit, number], values["b"][visit, number] = a, b
    return Turns(values)


@given(TURNS)
def test_a_gain_is_that_of_the_two_latencies_and_its_interval_tells_whether_it_is_significant(
    rows: list[tuple[int, tuple[float, float]]],
) -> None:
    turns = turns_of(rows)
    comparison = turns.compare("a", "b")
    assert 1 - comparison.gain == pytest.approx(turns.latency_ms("a") / turns.latency_ms("b"), rel=1e-9)
    assert comparison.gain_low <= comparison.gain + 1e-12
    assert comparison.gain <= comparison.gain_high + 1e-12
    assert comparison.significant == (comparison.p_value < 0.05)
    if comparison.significant:
        assert comparison.gain_low * comparison.gain_high > 0, "the interval holds no zero"
    elif len(turns.kept) > 1:
        assert comparison.gain_low <= 1e-9
        assert comparison.gain_high >= -1e-9


@given(TURNS)
def test_a_latency_lies_among_the_turns_that_it_is_made_of(rows: list[tuple[int, tuple[float, float]]]) -> None:
    turns = turns_of(rows)
    for model in ("a", "b"):
        shown = turns.turns_ms(model)
        assert min(shown) * (1 - 1e-9) <= turns.latency_ms(model) <= max(shown) * (1 + 1e-9)


@given(st.lists(MS, min_size=1, max_size=30), st.lists(MS, min_size=1, max_size=30))
def test_runs_are_compared_by_the_latencies_that_they_show(a: list[float], b: list[float]) -> None:
    a_ms, b_ms = (math.exp(math.fsum(map(math.log, v)) / len(v)) for v in (a, b))
    comparison = compare_runs(a_ms, a, b_ms, b)
    assert 1 - comparison.gain == pytest.approx(a_ms / b_ms, rel=1e-9)
    assert comparison.gain_low <= comparison.gain + 1e-9 <= comparison.gain_high + 2e-9


@given(st.lists(MS, min_size=1, max_size=20), st.lists(MS, min_size=1, max_size=20), MS, MS, st.booleans())
def test_what_is_said_of_scores_has_their_gain_and_never_contradicts_itself(
    a: list[float], b: list[float], a_ms: float, b_ms: float, paired: bool
) -> None:
    if paired:
        a, b = a[: len(b)], b[: len(a)]
    said = of_scores(compare(a, b, paired), a_ms, b_ms)
    assert said.gain == pytest.approx(1 - a_ms / b_ms, rel=1e-6, abs=1e-9)
    assert said.gain_low <= said.gain + 1e-6 * (1 + abs(said.gain))
    assert said.gain <= said.gain_high + 1e-6
    assert said.significant == (said.p_value < 0.05)
    assert said.significant == (said.gain_low * said.gain_high > 0)


def test_every_visit_counts_alike_however_many_rounds_it_has() -> None:
    """One state was seen for 20 rounds, the other for 5: what is expected is the middle of both."""
    rows = [(0, (1.0, 2.0))] * 20 + [(1, (4.0, 2.0))] * 5
    turns = turns_of(rows)
    assert turns.latency_ms("a") == pytest.approx(2.0)
    assert turns.compare("a", "b").gain == pytest.approx(0.0, abs=1e-12)


def test_what_is_slow_seldom_is_left_out_and_what_is_slow_often_counts() -> None:
    seldom = turns_of([(0, (3.0 if i < 2 else 1.0, 1.0)) for i in range(20)])
    assert seldom.latency_ms("a") == pytest.approx(1.0)
    often = turns_of([(0, (3.0 if i % 5 < 2 else 1.0, 1.0)) for i in range(20)])
    assert often.latency_ms("a") == pytest.approx(3**0.4)


def test_a_turn_is_the_median_of_its_passes() -> None:
    assert turn_values([1.0, 9.0, 2.0, 5.0], [0, 0, 0, 1], 3) == {(3, 0): 2.0, (3, 1): 5.0}
    assert turn_values([1.0, 9.0], [], 0) == {(0, 0): 1.0, (0, 1): 9.0}


def test_two_modes_are_seen_and_one_mode_is_not_taken_for_two() -> None:
    chance = random.Random(5)
    for slow in range(10, 31):  # of 40 passes
        low, high = modes([chance.gauss(0.07 if i < slow else 0.047, 0.0004) for i in range(40)])
        assert (low, high) == (pytest.approx(0.047, rel=0.02), pytest.approx(0.07, rel=0.02))
    shapes = (
        lambda: chance.gauss(1, 0.05),
        lambda: chance.uniform(1, 1.3),
        lambda: 1 + chance.expovariate(20),
        lambda: chance.gauss(1, 0.01) * (chance.uniform(1.5, 4) if chance.random() < 0.05 else 1),
    )
    found = [len(modes([draw() for _ in range(40)])) for draw in shapes for _ in range(200)]
    assert found.count(2) <= 0.01 * len(found)
