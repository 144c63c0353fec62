"""Pauses between visits: none where they agree, long where they differ by what lasts, and nothing but what was seen
counts."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ConfigurationError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import DeviceState, PlanSamples
from ellopt.core.schedule import Schedule
from ellopt.core.settings import check_settings
from ellopt.measure.pauses import FULL_SHARE, IN_ALL, LONGEST, UNKNOWN, Seen, disagreement, granted, seen, wait_between
from ellopt.measure.settings import MeasureSettings, spacing
from tests.support.pretend import SMALL, PretendDevice, constant
from tests.support.pretend_measurer import pretend_measurer, uniform

KINDS = tuple(ConvolutionOptions(method, parallel) for method in ("unrolled", "winograd") for parallel in (False, True))
NODES = tuple(layer.node_id for layer in SMALL)


def visit(seed: int, *, noise: float = 0.02, slower: float = 1.0, of: tuple[ConvolutionOptions, ...] = KINDS,
          share: float | None = None, ticks: float = 1000.0, turns: int = 10) -> Seen:  # fmt: skip
    """Turns of mixed plans with ``noise`` in each, all that is computed by ``of`` being ``slower`` throughout."""
    generator = random.Random(seed)
    samples = []
    for turn in range(turns):
        plan = Plan.of({node: KINDS[(i + turn) % len(KINDS)] for i, node in enumerate(NODES)})
        factor = generator.lognormvariate(0, noise)
        ms = {n: ((i + 1) * factor * (slower if plan[n] in of else 1.0),) for i, n in enumerate(NODES)}
        samples.append(PlanSamples(plan, (sum(row[0] for row in ms.values()),), ms, {}, (0,)))
    return seen(samples, share, ticks)


SEEDS = st.integers(0, 10_000)
VISITS = st.lists(
    st.builds(
        visit,
        SEEDS,
        noise=st.floats(0, 0.3),
        slower=st.floats(0.3, 4),
        of=st.lists(st.sampled_from(KINDS), max_size=4).map(tuple),
        share=st.none() | st.floats(0, 1),
        ticks=st.floats(0, 1000),
        turns=st.integers(0, 4),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(VISITS, SEEDS)
def test_a_pause_is_never_longer_than_the_longest_and_follows_from_what_was_seen(visits: list[Seen], seed: int) -> None:
    wait = wait_between(visits)
    assert 0 <= wait <= LONGEST
    assert wait_between(list(visits)) == wait


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(1, 3), st.floats(1, 3), st.lists(st.sampled_from(KINDS), min_size=1, max_size=4).map(tuple))
def test_the_more_visits_differ_the_longer_the_pause(
    seed: int, one: float, more: float, of: tuple[ConvolutionOptions, ...]
) -> None:
    same, shifted, further = (visit(seed, slower=factor, of=of) for factor in (1.0, one, one * more))
    assert disagreement(same, same) == 0
    assert wait_between([same] * 3 + [shifted]) <= wait_between([same] * 3 + [further])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_the_more_others_compute_the_longer_the_pause(shares: list[float], more: float) -> None:
    quiet = [visit(i, share=share) for i, share in enumerate(shares)]
    louder = [*quiet[:-1], replace(quiet[-1], busy=1000 * max(shares[-1], more))]
    assert wait_between(quiet) <= wait_between(louder)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 0.12))
def test_a_machine_whose_visits_agree_is_known_as_quiet_after_a_few(seed: int, noise: float) -> None:
    visits = [visit(10 * seed + i, noise=noise, share=0.02) for i in range(5)]
    waits = [wait_between(visits[:n]) for n in range(6)]
    assert waits[0] == waits[1] == UNKNOWN
    assert waits[5] < 0.1 * LONGEST
    assert sum(waits[1:]) < LONGEST, "all five pauses together are shorter than one was"


@pytest.mark.parametrize("slowed", [KINDS, tuple(o for o in KINDS if o.parallelize), KINDS[3:]],
                         ids=["all", "parallel", "one method"])  # fmt: skip
def test_what_lasts_for_some_visits_makes_the_pauses_long(slowed: tuple[ConvolutionOptions, ...]) -> None:
    calm = [visit(seed) for seed in range(4)]
    slow = [visit(seed, slower=1.8, of=slowed) for seed in range(9, 12)]
    assert wait_between([*calm[:3], *slow[:2]]) > 0.6 * LONGEST
    assert wait_between([*calm[:2], *slow]) > 0.6 * LONGEST
    forgotten = [*calm, *slow, *(visit(seed) for seed in range(20, 25))]
    assert wait_between(forgotten) == 0


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(1.2, 4), st.integers(3, 8))
def test_what_changes_from_one_visit_to_the_next_is_not_waited_for(seed: int, slower: float, count: int) -> None:
    """Each visit has met a moment of its own as it is."""
    visits = [visit(seed + i, slower=slower if i % 2 else 1.0) for i in range(count)]
    assert disagreement(*visits[-2:])
    assert wait_between(visits) == 0


def test_one_visit_that_was_disturbed_is_no_reason_to_wait_for_long() -> None:
    calm = [visit(seed) for seed in range(8)]
    disturbed = [*calm[:4], visit(9, slower=1.8), *calm[4:]]
    waits = [wait_between(disturbed[:n]) for n in range(4, len(disturbed) + 1)]
    assert sum(waits) < 1.1 * LONGEST


def test_processors_that_others_use_make_the_pauses_long_although_visits_agree() -> None:
    assert wait_between([visit(seed, share=FULL_SHARE + 0.02) for seed in range(5)]) == LONGEST


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(4, 40), st.floats(0.1, 0.9))
def test_the_ticks_of_a_short_visit_do_not_make_a_quiet_machine_a_loud_one(seed: int, ticks: int, own: float) -> None:
    """A program that keeps ``own`` of the processors busy is there at some of the clock's ticks, more by chance."""
    generator = random.Random(seed)
    found = [max(0.0, sum(generator.random() < own for _ in range(ticks)) / ticks - own) for _ in range(40)]
    calm = [visit(i, share=share, ticks=ticks) for i, share in enumerate(found)]
    waits = [wait_between(calm[:n]) for n in range(4, len(calm))]
    assert sum(waits) < 0.1 * LONGEST * len(waits)


def test_what_many_short_visits_say_together_of_others_is_heard() -> None:
    loud = [visit(seed, share=0.86, ticks=6) for seed in range(5)]
    assert wait_between(loud[:1]) == wait_between(loud) == LONGEST
    assert 0 < wait_between([visit(seed, share=0.35, ticks=6) for seed in range(5)]) < LONGEST


def test_whole_models_that_take_turns_are_compared_as_such() -> None:
    def whole(ms: float) -> Seen:
        plans = [Plan.of(dict.fromkeys(NODES, options)) for options in KINDS[:2]]
        rounds = tuple(r for r in range(10) for _ in range(4))
        return seen(
            [PlanSamples(plan, tuple(ms + 0.001 * (i % 7) for i in range(40)), {}, {}, rounds) for plan in plans]
        )

    assert wait_between([whole(2.0)] * 3) == 0
    assert wait_between([whole(2.0)] * 3 + [whole(3.0)] * 2) > 0.6 * LONGEST


def test_visits_to_a_board_are_as_far_apart_as_its_noise_demands() -> None:
    def waited(factor: float, share: float | None = None) -> list[float]:
        """Seconds waited before each visit to a board that is so many times slower for four visits, then is not."""
        slow, slept, visits = [1.0], list[float](), [0]

        def begin(job: Job) -> None:
            if job.kind == "profile":
                slow[0] = factor if visits[0] // 4 % 2 else 1.0
                visits[0] += 1

        device = PretendDevice(
            lambda node, options: slow[0] * constant({})(node, options),
            before_run=begin,
            states=lambda: DeviceState(foreign_load=share),
        )
        lab = pretend_measurer(device, settings=MeasureSettings(), sleep=slept.append)
        made = [lab.measure([uniform(KINDS[0])], Schedule())[0].visit for _ in range(8)]
        assert [one.paused for one in made if one is not None and one.paused] == pytest.approx(slept, abs=0.001)
        return slept

    assert sum(waited(1.0)) < UNKNOWN
    assert sum(waited(1.5)) > 1.3 * sum(waited(1.0))
    loud = waited(1.0, share=4.0)
    assert loud == sorted(loud, reverse=True)
    assert 0.8 * IN_ALL < sum(loud) < IN_ALL


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, LONGEST), max_size=40))
def test_all_pauses_together_have_a_bound_and_some_is_left_for_later_ones(wanted: list[float]) -> None:
    waited = 0.0
    for one in wanted:
        pause = granted(one, waited)
        assert 0 <= pause <= one
        assert pause == one or pause > 0
        waited += pause
    assert waited <= IN_ALL


def test_a_spacing_is_a_number_of_seconds_or_automatic() -> None:
    assert (spacing("auto"), spacing("2.5"), spacing(0)) == (None, 2.5, 0.0)
    for nonsense in ("never", "", True, None):
        with pytest.raises(ValueError, match="neither a number of seconds nor auto"):
            spacing(nonsense)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least 0"):
        check_settings(MeasureSettings(visit_spacing=spacing("-1")))
