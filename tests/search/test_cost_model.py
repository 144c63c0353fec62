"""What is learned of some variants is expected of others, with fitting doubt; the odds follow from it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.search.evidence.cost_model import CostModel, Observation, Posterior
from ellopt.search.evidence.effects import Variant
from ellopt.search.evidence.odds import odds
from tests.support.pretend import shape

UNROLLED, WINOGRAD = ConvolutionOptions("unrolled"), ConvolutionOptions("winograd", False, 0, 4, 4)
SHAPES = [shape(2**i, 2**i, size=16) for i in range(3, 8)]


def linear(factor: float = 1.0, options: ConvolutionOptions = UNROLLED) -> dict[Variant, Observation]:
    """``options`` take ``factor`` microseconds for each thousand multiply-adds."""
    return {(s, options): Observation(s.multiply_adds * factor * 1e-6, 0.02, 0.01) for s in SHAPES}


def test_a_way_learned_on_some_layers_is_expected_on_others() -> None:
    known = linear() | linear(0.5, WINOGRAD)
    del known[SHAPES[-1], WINOGRAD]
    posterior = CostModel(known).predict(SHAPES[-1], [WINOGRAD, UNROLLED])
    ratio = math.exp(posterior.mean[0] - posterior.mean[1])
    assert ratio == pytest.approx(0.5, rel=0.2)
    assert posterior.deviation[0] > 2 * posterior.deviation[1]


def test_what_differs_from_shape_to_shape_is_doubted_the_more() -> None:
    def doubt(factors: list[float]) -> float:
        known = linear()
        for s, factor in zip(SHAPES, factors, strict=False):
            known[s, WINOGRAD] = Observation(s.multiply_adds * factor * 1e-6, 0.02, 0.01)
        return float(CostModel(known).predict(SHAPES[-1], [WINOGRAD]).deviation[0])

    assert doubt([0.2, 1.0, 0.15, 1.2]) > 1.15 * doubt([0.5, 0.52, 0.49, 0.51])


def test_one_sample_far_above_what_is_expected_is_doubted_and_many_are_believed() -> None:
    def expected(spoiled: float) -> float:
        known = linear() | linear(0.9, WINOGRAD)
        odd = SHAPES[2], UNROLLED
        known[odd] = replace(known[odd], ms=known[odd].ms * 3, spoiled=spoiled)
        return math.exp(float(CostModel(known).predict(*odd[:1], [UNROLLED]).mean[0])) / known[odd].ms

    assert expected(0.05) < 0.6
    assert expected(0.05**6) > 0.9


def test_errors_in_common_do_not_look_like_differences() -> None:
    s = SHAPES[0]
    known = {(s, UNROLLED): Observation(1.0, 0.01, 0.0), (s, WINOGRAD): Observation(1.0, 0.01, 0.0)}

    def difference(errors: np.ndarray) -> float:
        c = CostModel(known, errors).predict(s, [UNROLLED, WINOGRAD]).covariance
        return math.sqrt(float(c[0, 0] + c[1, 1] - 2 * c[0, 1]))

    common, apart = np.full((2, 2), 0.04), np.diag([0.04, 0.04])
    assert difference(common) < difference(apart) / 3


def posterior(means: list[float], deviation: float) -> Posterior:
    variants = tuple(ConvolutionOptions("winograd", False, 0, f, 1) for f in range(1, len(means) + 1))
    return Posterior(variants, np.array(means), deviation**2 * np.eye(len(means)))


def test_odds_are_those_of_normal_variables() -> None:
    p = posterior([0.0, 0.1], 0.1)
    found = odds(p, p.variants[0], np.random.default_rng(0))
    # The difference has a mean of 0.1 and a deviation of 0.1 sqrt(2).
    assert found.chance[0] == pytest.approx(0.5 * math.erfc(-0.5), abs=0.05)
    z = 0.1 / (0.1 * math.sqrt(2))
    gain = 0.1 * math.sqrt(2) * (math.exp(-z * z / 2) / math.sqrt(2 * math.pi) - z * 0.5 * math.erfc(z / math.sqrt(2)))
    assert found.regret_ms == pytest.approx(gain, rel=0.3)


@given(st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=10), st.integers(4, 40))
def test_the_likelier_have_more_seats_and_the_leader_at_most_half(means: list[float], count: int) -> None:
    p = posterior(means, 0.1)
    leader = p.variants[int(np.argmin(means))]
    found = odds(p, leader, np.random.default_rng(0))
    seats = found.seats(count)
    assert len(seats) == count
    assert 1 <= seats.count(leader) <= (math.ceil(count / 2) if found.rivals(1e-9) else count)
    for a, b in zip(found.variants, found.variants[1:], strict=False):
        if leader not in (a, b) and found.chance[found.variants.index(a)] > found.chance[found.variants.index(b)]:
            assert seats.count(a) >= seats.count(b) - 1


def test_with_no_rival_all_seats_are_the_leaders() -> None:
    p = posterior([0.0, 3.0], 0.01)
    found = odds(p, p.variants[0], np.random.default_rng(0))
    assert found.seats(5) == [p.variants[0]] * 5
    assert found.rivals(0.01) == []
    assert found.regret_ms == 0.0


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_variants_that_are_certainly_alike_are_as_good_as_one(count: int, seed: int) -> None:
    """A covariance that rounding leaves short of positive definite is no failure."""
    variants = tuple(ConvolutionOptions("winograd", False, 0, f, 1) for f in range(1, count + 1))
    covariance = np.full((count, count), 0.01) - 1e-7 * np.eye(count)
    alike = Posterior(variants, np.zeros(count), covariance)
    assert odds(alike, variants[0], np.random.default_rng(seed)).regret_ms < 0.002
