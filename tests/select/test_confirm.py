"""Confirmation of whole models, and the files of a tuned model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.schedule import Schedule
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.core.trial import Trial, Visit
from ellopt.frontends.ell.format import archive_of
from ellopt.frontends.ell.metadata import read_options
from ellopt.frontends.ell.read import read_model
from ellopt.select.confirm import (
    ASSEMBLED,
    BEFORE,
    LEAST_VISITS,
    MODAL_VISITS,
    TRIAL,
    UNIFORM,
    VISITS,
    best_uniform,
    confirm,
    write_model,
)
from ellopt.space.options_file import read_compile_options
from ellopt.space.space import LayerSpace, ModelSpace
from ellopt.targets import find_target
from tests.support.paths import TINY

SIMPLE, UNROLLED, WINOGRAD = (ConvolutionOptions(method) for method in ("simple", "unrolled", "winograd"))
SHAPE = ConvolutionShape(8, 8, 4, 8, 3, 1, 1, False, 8, 8)


def plan(*options: ConvolutionOptions) -> Plan:
    return Plan(tuple((str(i), option) for i, option in enumerate(options)))


class Bench:
    """Answers with given latencies, give or take ``noise``; a plan without one fails."""

    def __init__(self, milliseconds: Mapping[Plan, float], noise: float = 0.01) -> None:
        self.milliseconds, self.noise, self.visits = milliseconds, noise, 0
        self.random = random.Random(7)

    def measure(self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None) -> tuple[Trial, ...]:
        self.visits += 1
        assert len(set(plans)) == len(plans), "equal plans are measured once"
        return tuple(self._outcome(p, schedule.rounds * schedule.turn_passes) for p in plans)

    def _outcome(self, measured: Plan, passes: int) -> Trial:
        if measured not in self.milliseconds:
            return Trial.without_samples(measured, "it crashed")
        times = [self.milliseconds[measured] * self.random.gauss(1, self.noise) for _ in range(passes)]
        return Trial(measured, PlanSamples(measured, tuple(times), {}), Visit("v", "d", "b"))


def test_winners_that_are_fastest_together_are_written_after_two_visits() -> None:
    winners, default = plan(WINOGRAD, SIMPLE), plan(UNROLLED, UNROLLED)
    bench = Bench({winners: 1.0, default: 2.0})
    confirmed = confirm(bench, {ASSEMBLED: winners, BEFORE: default, UNIFORM: default})
    assert (confirmed.plan, confirmed.confirmation.chosen, bench.visits) == (winners, ASSEMBLED, 2)
    against = confirmed.confirmation.against_before
    assert against is not None
    assert against.significant
    assert against.gain == pytest.approx(0.5, abs=0.02)


def test_a_whole_model_that_is_faster_is_written_instead_and_the_reason_says_so() -> None:
    winners, uniform, default = plan(WINOGRAD, SIMPLE), plan(WINOGRAD, WINOGRAD), plan(UNROLLED, UNROLLED)
    bench = Bench({winners: 1.2, uniform: 1.0, default: 2.0})
    confirmed = confirm(bench, {ASSEMBLED: winners, BEFORE: default, UNIFORM: uniform})
    assert confirmed.plan == uniform
    assert confirmed.confirmation.chosen == UNIFORM
    assert "1.2" in confirmed.confirmation.why


def test_what_is_not_clear_is_measured_again() -> None:
    winners, other, default = plan(WINOGRAD, SIMPLE), plan(WINOGRAD, WINOGRAD), plan(UNROLLED, UNROLLED)
    bench = Bench({winners: 1.0005, other: 1.0, default: 2.0}, noise=0.2)
    confirmed = confirm(bench, {ASSEMBLED: winners, BEFORE: default, TRIAL: other})
    counts = {len(whole.samples_ms) for whole in confirmed.confirmation.candidates}
    assert len(counts) == 1, "all candidates are measured alike"
    assert 1 <= bench.visits <= VISITS
    assert confirmed.plan in (winners, other)


def test_a_model_that_is_as_good_as_equal_is_not_measured_on_and_on() -> None:
    winners, other, default = plan(WINOGRAD, SIMPLE), plan(WINOGRAD, WINOGRAD), plan(UNROLLED, UNROLLED)
    calm = Bench({winners: 1.0, other: 1.001, default: 2.0}, noise=0.003)
    loud = Bench({winners: 1.0, other: 1.001, default: 2.0}, noise=0.1)
    for bench in (calm, loud):
        confirm(bench, {ASSEMBLED: winners, BEFORE: default, TRIAL: other})
    assert calm.visits == LEAST_VISITS
    assert loud.visits == VISITS, "noise hides whether it is"


class States(Bench):
    """Each visit finds the machine in a state, with latencies of its own; with ``within``, each round does."""

    def __init__(self, *states: Mapping[Plan, float], noise: float = 0.01, within: bool = False, seed: int = 7) -> None:
        super().__init__(states[0], noise)
        self.states, self.within, self.random = states, within, random.Random(seed)

    def measure(self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None) -> tuple[Trial, ...]:
        self.milliseconds = self.states[self.visits % len(self.states)]
        if not self.within:
            return super().measure(plans, schedule, deadline)
        self.visits += 1
        rounds = [r for r in range(schedule.rounds) for _ in range(schedule.turn_passes)]
        found = []
        for measured in plans:
            state_of = [self.random.randrange(len(self.states)) for _ in range(schedule.rounds)]
            times = [self.states[state_of[r]][measured] * self.random.gauss(1, self.noise) for r in rounds]
            samples = PlanSamples(measured, tuple(times), {}, {}, tuple(rounds))
            found.append(Trial(measured, samples, Visit("v", "d", "b")))
        return tuple(found)


WINNERS, OTHER, DEFAULT = plan(WINOGRAD, SIMPLE), plan(WINOGRAD, WINOGRAD), plan(UNROLLED, UNROLLED)
MS = st.floats(0.5, 2.0)


@given(
    st.lists(st.tuples(MS, MS, MS), min_size=1, max_size=3), st.sampled_from([0.0, 0.01, 0.2]), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40)
def test_what_is_written_printed_and_sorted_by_is_one_number(
    states: list[tuple[float, float, float]], noise: float, within: bool, seed: int
) -> None:
    named = [dict(zip((WINNERS, OTHER, DEFAULT), state, strict=True)) for state in states]
    bench = States(*named, noise=noise, within=within, seed=seed)
    confirmed = confirm(bench, {ASSEMBLED: WINNERS, BEFORE: DEFAULT, TRIAL: OTHER})
    found = confirmed.confirmation
    latencies = {whole.name: whole.latency_ms for whole in found.candidates}
    assert list(latencies.values()) == sorted(latencies.values())
    assert latencies[found.chosen] == min(latencies.values())
    assert confirmed.plan == {ASSEMBLED: WINNERS, BEFORE: DEFAULT, TRIAL: OTHER}[found.chosen]
    assert found.visits == bench.visits
    if found.against_before is not None:
        assert found.against_before.gain >= 0, "nothing is written that its own comparison says is slower"
        assert 1 - found.against_before.gain == pytest.approx(latencies[found.chosen] / latencies[BEFORE], rel=1e-9)
    for whole in found.candidates:
        assert min(whole.turns_ms) * (1 - 1e-9) <= whole.latency_ms <= max(whole.turns_ms) * (1 + 1e-9)


def test_a_model_that_runs_in_two_modes_is_measured_in_more_visits_and_it_is_said() -> None:
    """16 of 40 passes at 0.07 ms, the others at 0.047, as a pool does that finds its threads asleep or awake."""
    modes = ({WINNERS: 0.07, DEFAULT: 0.148}, *[{WINNERS: 0.047, DEFAULT: 0.148}] * 2)
    bench = States(*modes, within=True, seed=1)  # both are seen in the first two visits, as in seven of ten times
    confirmation = confirm(bench, {ASSEMBLED: WINNERS, BEFORE: DEFAULT}).confirmation
    assert bench.visits == MODAL_VISITS
    assert "two modes" in confirmation.states
    assert "around 47" in confirmation.states
    assembled, before = confirmation.candidates
    assert assembled.modes_ms == (pytest.approx(0.047, rel=0.02), pytest.approx(0.07, rel=0.02))
    assert before.modes_ms == ()
    assert assembled.latency_ms == pytest.approx(0.047 ** (2 / 3) * 0.07 ** (1 / 3), rel=0.06)


def test_what_is_expected_over_the_states_decides_and_that_it_depends_on_them_is_said() -> None:
    """The winners are much faster in one visit of three, and slower in the others: the other plan is the better bet."""
    near, far = {WINNERS: 0.9, OTHER: 1.0, DEFAULT: 2.0}, {WINNERS: 1.3, OTHER: 1.1, DEFAULT: 2.0}
    bench = States(near, far, far)
    confirmation = confirm(bench, {ASSEMBLED: WINNERS, BEFORE: DEFAULT, TRIAL: OTHER}).confirmation
    assert confirmation.chosen == TRIAL
    assert confirmation.visits == MODAL_VISITS
    assert "3 of 9 visits and slower in 6" in confirmation.states
    assert "each counting alike" in confirmation.states


def test_winners_equal_to_the_default_have_nothing_to_be_compared_with() -> None:
    default = plan(UNROLLED, UNROLLED)
    confirmed = confirm(Bench({default: 2.0}), {ASSEMBLED: default, BEFORE: default})
    assert confirmed.plan == default
    assert confirmed.confirmation.against_before is None


def test_a_default_that_crashes_cannot_be_confirmed() -> None:
    winners, default = plan(WINOGRAD, SIMPLE), plan(UNROLLED, UNROLLED)
    with pytest.raises(CandidateError, match="crashed"):
        confirm(Bench({winners: 1.0}), {ASSEMBLED: winners, BEFORE: default})


def test_another_candidate_that_crashes_is_left_out() -> None:
    winners, other, default = plan(WINOGRAD, SIMPLE), plan(WINOGRAD, WINOGRAD), plan(UNROLLED, UNROLLED)
    confirmed = confirm(Bench({winners: 1.0, default: 2.0}), {ASSEMBLED: winners, BEFORE: default, TRIAL: other})
    assert {whole.name for whole in confirmed.confirmation.candidates} == {ASSEMBLED, BEFORE}


def test_the_best_single_option_falls_back_to_the_default_where_it_is_not_valid() -> None:
    layers = tuple(
        LayerSpace(ConvolutionLayer(str(i), "", SHAPE), (SIMPLE, UNROLLED, WINOGRAD), UNROLLED) for i in range(2)
    )
    space = ModelSpace("o.json", layers, 3, 6, 6)
    measured = {
        "0": {SIMPLE: 5.0, UNROLLED: 3.0, WINOGRAD: 1.0},
        "1": {SIMPLE: 5.0, UNROLLED: 1.0},  # winograd does not apply there
    }
    assert best_uniform(space, measured) == plan(WINOGRAD, UNROLLED)
    assert best_uniform(space, {}) is None


def test_the_written_model_carries_for_ell_what_ell_can_and_the_rest_under_our_own_key(tmp_path: Path) -> None:
    model = read_model(TINY)
    ids = [node.node_id for node in model.convolutions]
    own = ConvolutionOptions("winograd", True, winograd_tile_size=4)
    chosen = Plan(tuple(zip(ids, (own, UNROLLED, SIMPLE), strict=True)))
    told = chosen.with_(ids[0], ConvolutionOptions("unrolled", True))
    written = write_model(tmp_path, model, "tiny16", chosen, told, find_target("pi3"))
    assert set(written.names) == {path.name for path in tmp_path.iterdir()}
    again = read_model(tmp_path / written.model)
    assert read_options(archive_of(again)) == dict(chosen)
    assert read_compile_options(tmp_path / "compile_options.json", ids) == dict(chosen)
    switches = (tmp_path / "compile_switches.txt").read_text()
    assert f"--nodeOption {ids[0]},preferredConvolutionMethod,unrolled" in switches
    assert "winograd" not in switches
    assert "--target pi3 " in switches
