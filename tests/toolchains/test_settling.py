"""How long a plan's turn waits until its weights stay in the caches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.toolchains.settling import MOST_PASSES, settling_passes, settling_passes_alone
from tests.support.pretend import shape

UNROLLED, WINOGRAD = ConvolutionOptions("unrolled"), ConvolutionOptions("winograd")
DEEP = ConvolutionOptions("winograd", True, 0, 2, 4)
SHAPES = {"light": shape(16, 16), "heavy": shape(256, 256), "one by one": shape(256, 512, field=1)}
PARALLEL = UNROLLED.with_parallelize(True)
options = st.sampled_from([UNROLLED, PARALLEL, WINOGRAD, DEEP, ConvolutionOptions("simple")])


def plan(light: ConvolutionOptions, heavy: ConvolutionOptions) -> Plan:
    return Plan.of({"light": light, "heavy": heavy, "one by one": UNROLLED})


def passes(*plans: Plan, cache_mib: int = 32, started: bool = True) -> tuple[int, ...]:
    return settling_passes(plans, SHAPES, cache_mib, started)


def test_a_plan_waits_for_weights_that_the_one_before_did_not_read() -> None:
    # 2.25 MiB unrolled, 4 MiB by winograd
    assert passes(plan(UNROLLED, UNROLLED), plan(UNROLLED, WINOGRAD)) == (2, 4)


def test_nobody_waits_for_the_same_weights_or_for_few() -> None:
    assert passes(plan(UNROLLED, WINOGRAD), plan(UNROLLED, DEEP), plan(WINOGRAD, DEEP)) == (0, 0, 0)
    assert passes(plan(UNROLLED, UNROLLED), plan(UNROLLED, PARALLEL)) == (0, 0)


def test_the_first_plan_of_a_program_waits_for_all_its_weights() -> None:
    # 9 KiB, 2.25 MiB and 0.5 MiB
    assert passes(plan(UNROLLED, UNROLLED), started=False) == (2,)
    assert passes(plan(UNROLLED, WINOGRAD), started=False) == (4,)


def test_what_never_ran_in_a_program_waits_for_one_pass() -> None:
    plans = plan(UNROLLED, UNROLLED), plan(WINOGRAD, UNROLLED), plan(PARALLEL, UNROLLED), plan(WINOGRAD, PARALLEL)
    assert passes(*plans, started=False) == (2, 1, 0, 0)
    assert passes(*plans, started=False, cache_mib=0) == (1, 1, 0, 0)


@pytest.mark.parametrize(("cache_mib", "expected"), [(0, 0), (1, 1), (3, 3), (32, 4)])
def test_what_the_caches_cannot_keep_is_not_waited_for(cache_mib: int, expected: int) -> None:
    assert passes(plan(UNROLLED, UNROLLED), plan(UNROLLED, WINOGRAD), cache_mib=cache_mib)[1] == expected


@pytest.mark.parametrize(
    ("mib", "cache_mib", "expected"), [(0, 32, 1), (3, 32, 3), (40, 32, 6), (40, 2, 2), (40, 0, 1)]
)
def test_a_plan_that_shares_nothing_waits_for_all_its_weights(mib: int, cache_mib: int, expected: int) -> None:
    assert settling_passes_alone(mib << 20, cache_mib) == expected


@given(st.lists(st.tuples(options, options), min_size=1, max_size=6), st.integers(0, 64), st.booleans())
def test_a_wait_is_bounded_and_depends_on_the_plan_before_alone(
    choices: list[tuple[ConvolutionOptions, ConvolutionOptions]], cache_mib: int, started: bool
) -> None:
    plans = [plan(*pair) for pair in choices]
    found = passes(*plans, cache_mib=cache_mib, started=started)
    assert all(0 <= count <= max(min(MOST_PASSES, cache_mib), int(not started)) for count in found)
    if started:
        for i in range(1, len(plans)):
            assert found[i] == passes(plans[i - 1], plans[i], cache_mib=cache_mib)[1]
