"""Confirmation of whole models, and the files of a tuned model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ellopt.assemble import ASSEMBLED, BEFORE, TRIAL, UNIFORM, VISITS, best_uniform, confirm, write_model
from ellopt.deadline import Deadline
from ellopt.errors import CandidateError
from ellopt.measurement import PlanSamples
from ellopt.model.graph import read_model
from ellopt.model.metadata import read_options
from ellopt.observations import Outcome, Visit
from ellopt.option_files import read_compile_options
from ellopt.options import ConvolutionOptions, Plan
from ellopt.procedure import Procedure
from ellopt.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.space import LayerSpace, ModelSpace
from ellopt.targets import find_target

TINY = Path(__file__).parent / "data" / "tiny16.ell"
SIMPLE, UNROLLED, WINOGRAD = (ConvolutionOptions(method) for method in ("simple", "unrolled", "winograd"))
SHAPE = ConvolutionShape(8, 8, 4, 8, 3, 1, 1, False, 8, 8)


def plan(*options: ConvolutionOptions) -> Plan:
    return Plan(tuple((str(i), option) for i, option in enumerate(options)))


class Bench:
    """Answers with given latencies, give or take ``noise``; a plan without one fails."""

    def __init__(self, milliseconds: Mapping[Plan, float], noise: float = 0.01) -> None:
        self.milliseconds, self.noise, self.visits = milliseconds, noise, 0
        self.random = random.Random(7)

    def measure(
        self, plans: Sequence[Plan], procedure: Procedure, deadline: Deadline | None = None
    ) -> tuple[Outcome, ...]:
        self.visits += 1
        assert len(set(plans)) == len(plans), "equal plans are measured once"
        return tuple(self._outcome(p, procedure.rounds * procedure.turn_passes) for p in plans)

    def _outcome(self, measured: Plan, passes: int) -> Outcome:
        if measured not in self.milliseconds:
            return Outcome(measured, None, reason="it crashed")
        times = [self.milliseconds[measured] * self.random.gauss(1, self.noise) for _ in range(passes)]
        return Outcome(measured, PlanSamples(measured, tuple(times), {}), Visit("v", "d", "b"))


def test_winners_that_are_fastest_together_are_written_after_one_visit() -> None:
    winners, default = plan(WINOGRAD, SIMPLE), plan(UNROLLED, UNROLLED)
    bench = Bench({winners: 1.0, default: 2.0})
    confirmed = confirm(bench, {ASSEMBLED: winners, BEFORE: default, UNIFORM: default})
    assert (confirmed.plan, confirmed.confirmation.chosen, bench.visits) == (winners, ASSEMBLED, 1)
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
    assert UNIFORM in confirmed.confirmation.why
    assert "1.2" in confirmed.confirmation.why


def test_what_is_not_clear_is_measured_again() -> None:
    winners, other, default = plan(WINOGRAD, SIMPLE), plan(WINOGRAD, WINOGRAD), plan(UNROLLED, UNROLLED)
    bench = Bench({winners: 1.0005, other: 1.0, default: 2.0}, noise=0.2)
    confirmed = confirm(bench, {ASSEMBLED: winners, BEFORE: default, TRIAL: other})
    counts = {len(whole.samples_ms) for whole in confirmed.confirmation.candidates}
    assert len(counts) == 1, "all candidates are measured alike"
    assert 1 <= bench.visits <= VISITS
    assert confirmed.plan in (winners, other)


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
    assert read_options(again.archive) == dict(chosen)
    assert read_compile_options(tmp_path / "compile_options.json", ids) == dict(chosen)
    switches = (tmp_path / "compile_switches.txt").read_text()
    assert f"--nodeOption {ids[0]},preferredConvolutionMethod,unrolled" in switches
    assert "winograd" not in switches
    assert "--target pi3 " in switches
