"""What made samples slow is told apart: the variant, the visit, the turn, the place in the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.search.evidence.constants import DEFAULTS
from ellopt.search.evidence.effects import Cell, Variant, fit_effects
from tests.support.pretend import shape

SHAPES = [shape(2**i, 32) for i in range(3, 9)]
FAST, SLOW = ConvolutionOptions("winograd", False, 0, 4, 4), ConvolutionOptions("unrolled")
PARALLEL = ConvolutionOptions("unrolled", True)


def turn(
    number: int, visit: str, options: ConvolutionOptions, factor: float, noise: float = 0.0
) -> dict[Cell, list[float]]:
    """One turn of a plan of six layers that are all computed by ``options``; ``SLOW`` ones take 1.1 times as long."""
    generator = np.random.default_rng(number)
    return {
        ((s, options), visit, number, str(i)): [
            (1 + i) * (1.0 if options == FAST else 1.1) * factor * math.exp(generator.normal(0, noise))
        ]
        for i, s in enumerate(SHAPES)
    }


def ratio(cells: dict[Cell, list[float]], a: Variant, b: Variant) -> float:
    effects = fit_effects(cells)
    return math.exp(effects.variants[a] - effects.variants[b])


def deviation(cells: dict[Cell, list[float]], a: Variant, b: Variant) -> float:
    """How unsure the log of the ratio of ``a`` and ``b`` is."""
    effects = fit_effects(cells)
    i, j = (list(effects.variants).index(variant) for variant in (a, b))
    c = effects.covariance
    return math.sqrt(float(c[i, i] + c[j, j] - 2 * c[i, j]))


def test_a_turn_that_was_slow_altogether_does_not_count_against_what_was_measured_in_it() -> None:
    mixed: dict[Cell, list[float]] = {}
    generator = np.random.default_rng(0)
    for number in range(12):
        factor = 1.3 if number % 3 == 0 else 1.0
        for i, s in enumerate(SHAPES):
            # The first layer is FAST in slow turns only, the others by chance.
            fast = number % 3 == 0 if i == 0 else bool(generator.integers(2))
            options, own = (FAST, 1.0) if fast else (SLOW, 1.1)
            mixed[(s, options), "visit", number, str(i)] = [(1 + i) * own * factor]
    # What was measured is that SLOW took less, 1.1 against 1.3.
    assert ratio(mixed, (SHAPES[0], SLOW), (SHAPES[0], FAST)) == pytest.approx(1.1, rel=0.06)


def test_what_slows_all_that_is_parallel_in_a_visit_does_not_count() -> None:
    cells: dict[Cell, list[float]] = {}
    for number in range(16):
        visit, options = ("a", "b")[number % 2], (PARALLEL, SLOW)[number // 8]
        cells |= turn(number, visit, options, 1.5 if visit == "a" and options == PARALLEL else 1.0)
    effects = fit_effects(cells)

    def difference(options: ConvolutionOptions) -> float:
        a, b = (effects.disturbance(((SHAPES[0], options), visit, None, "0")) for visit in "ab")
        return math.exp(a - b)

    assert difference(PARALLEL) > 1.3
    assert difference(SLOW) == pytest.approx(1.0, abs=0.05)


def test_a_visit_in_which_one_parallel_method_was_slow_does_not_count() -> None:
    winograd = ConvolutionOptions("winograd", True, 0, 4, 4)
    cells: dict[Cell, list[float]] = {}
    for number in range(24):
        visit, options = "abc"[number % 3], (PARALLEL, winograd)[number // 12]
        cells |= turn(number, visit, options, 1.8 if visit == "a" and options == winograd else 1.0)
    assert ratio(cells, (SHAPES[0], winograd), (SHAPES[0], PARALLEL)) == pytest.approx(1.0, abs=0.05)


def test_one_visit_does_not_settle_which_parallel_method_is_faster() -> None:
    winograd = ConvolutionOptions("winograd", True, 0, 4, 4)

    def error(visits: int) -> float:
        cells: dict[Cell, list[float]] = {}
        for number in range(36):
            cells |= turn(number, str(number % visits), (PARALLEL, winograd)[number // 18], 1.0, 0.02)
        return deviation(cells, (SHAPES[0], winograd), (SHAPES[0], PARALLEL))

    assert error(1) > DEFAULTS.parallel_method_deviation
    assert error(9) < 0.75 * error(1)


def test_turns_that_are_not_known_have_no_effect() -> None:
    cells: dict[Cell, list[float]] = {
        (variant, visit, None, layer): values
        for number, options in enumerate((FAST, SLOW))
        for (variant, visit, _, layer), values in turn(number, "visit", options, 1.0).items()
    }
    assert not fit_effects(cells).turns
    assert ratio(cells, (SHAPES[2], SLOW), (SHAPES[2], FAST)) == pytest.approx(1.1, rel=0.01)


def test_more_samples_make_errors_smaller() -> None:
    def error(turns: int) -> float:
        cells: dict[Cell, list[float]] = {}
        for number in range(turns):
            cells |= turn(number, "visit", SLOW if number % 2 else FAST, 1.0, 0.03)
        return deviation(cells, (SHAPES[0], FAST), (SHAPES[0], SLOW))

    assert error(32) < 0.6 * error(8) < 0.6 * error(2)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_without_outliers_it_is_the_exact_solution(turns: int, visits: int, seed: int) -> None:
    """The posterior of the whole linear model, from one large system instead of the reduced one."""
    generator = np.random.default_rng(seed)
    cells: dict[Cell, list[float]] = {}
    for number in range(turns * visits):
        for i, s in enumerate(SHAPES[:3]):
            options = FAST if generator.integers(2) else SLOW
            cells[(s, options), str(number % visits), number, str(i)] = [math.exp(generator.normal(0, 1e-3))]
    effects = fit_effects(cells)
    keys = [[], [], [], []]  # type: list[list[object]]
    for variant, visit, number, layer in cells:  # type: ignore[assignment]
        for known, key in zip(keys, (variant, visit, number, layer), strict=True):
            if key not in known:
                known.append(key)
    starts = np.cumsum([0, *map(len, keys)])
    design = np.zeros((len(cells), int(starts[-1])))
    for row, cell in enumerate(cells):
        for start, known, key in zip(starts, keys, cell, strict=False):
            design[row, start + known.index(key)] = 1.0
    priors = (1e-6, DEFAULTS.visit_deviation**-2, DEFAULTS.turn_deviation**-2, DEFAULTS.layer_deviation**-2)
    prior = np.concatenate([np.full(len(known), p) for known, p in zip(keys, priors, strict=True)])
    weight = 1 / (DEFAULTS.cell_deviation**2 + DEFAULTS.sample_deviation**2)
    y = np.log([values[0] for values in cells.values()])
    exact = np.linalg.solve(weight * design.T @ design + np.diag(prior), weight * design.T @ y)
    assert list(effects.variants.values()) == pytest.approx(exact[: len(keys[0])], abs=1e-3)
