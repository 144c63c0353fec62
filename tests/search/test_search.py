"""Whole searches on a pretended board: what is measured, what is chosen, what is told."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from ellopt.core.errors import ConfigurationError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.statistics import SIGNIFICANT_PAIRS
from ellopt.search.observer import SearchProgress
from ellopt.select.winners import choose_winners
from tests.support.pretend import SMALL, PretendDevice, PretendToolchain, constant, small_space, smooth_latency
from tests.support.searches import SAMPLERS, Watcher, loss, run, timed_pairs


class BusyThreads(Watcher):
    """How many threads the matrix operations of this process may use while a search runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def state_changed(self, progress: SearchProgress) -> None:
        self.seen |= {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_grid_measures_every_variant_exactly_once(tmp_path: Path) -> None:
    device = PretendDevice(smooth_latency())
    result = run(tmp_path, device, sampler="grid")
    most = max(len(layer.variants) for layer in result.space.layers)
    swept = result.trials[:most]
    assert len({outcome.plan for outcome in swept}) == most
    longest = [layer for layer in result.space.layers if len(layer.variants) == most]
    pairs = Counter(pair for outcome in swept for pair in outcome.plan.items())
    visits = {outcome.visit.uid for outcome in swept if outcome.visit}
    for layer in result.space.layers:
        assert {o for n, o in pairs if n == layer.node_id} == set(layer.variants)
    assert all(pairs[layer.node_id, options] == 1 for layer in longest for options in layer.variants)
    for layer in result.space.layers:
        for options in layer.variants:
            known = result.evidence.samples(layer.shape, options)
            own = [s for s in known if s.node_id == layer.node_id and s.visit in visits]
            assert len({s.visit for s in own}) == 1
            assert len(own) == 10  # rounds of one trial: what came by starting again does not count
    assert result.cost.stopped_because == "every distinct variant was measured"
    assert loss(result, smooth_latency()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random", "auto"])
def test_whom_noise_could_have_swapped_met_in_several_visits_before_the_verdict(tmp_path: Path, sampler: str) -> None:
    """Passes differ by 15 %: who leads after one visit was lucky. Now and then a rival that was thought to be far
    behind is next to the winner in the end."""
    close = few = 0
    for seed in (4, 5, 6):
        device = PretendDevice(smooth_latency(2), noise=0.15, seed=seed)
        result = run(tmp_path / str(seed), device, sampler=sampler)
        evidence = result.evidence
        for layer in choose_winners(result).layers:
            shape = evidence.shape_of(layer.node_id)
            winner, rival = layer.winner, layer.runner_up
            if rival is None or layer.against_runner_up is None or layer.against_runner_up.gain > 0.1:
                continue  # so far ahead that noise is no excuse
            close += 1
            met = {s.visit for s in evidence.samples(shape, winner)} & {s.visit for s in evidence.samples(shape, rival)}
            assert len(met) >= 2, (layer.node_id, layer.why)
            few += len(evidence.log_ratios(shape, winner, rival)) < SIGNIFICANT_PAIRS
    assert close > few


def test_no_thread_of_a_matrix_operation_is_in_the_way_of_what_is_measured(tmp_path: Path) -> None:
    watcher = BusyThreads()
    run(tmp_path, PretendDevice(smooth_latency()), observer=watcher, sampler="auto")
    assert watcher.seen == {1}


def test_grid_measures_what_shares_a_plan_with_a_failing_variant(tmp_path: Path) -> None:
    wrong = ConvolutionOptions("winograd", False, 0, 4, 4)
    device = PretendDevice(smooth_latency(), wrong=frozenset({wrong}))
    result = run(tmp_path, device, sampler="grid")
    for layer in result.space.layers:
        for options in layer.variants:
            assert bool(result.evidence.samples(layer.shape, options)) == (options != wrong)
    assert result.cost.trials_failed == 1
    reports = {v.options: v.state for layer in choose_winners(result).layers for v in layer.variants}
    assert reports[wrong] == "failed"


@pytest.mark.parametrize("sampler", ["tpe", "random", "optuna.samplers:QMCSampler"])
def test_adaptive_searches_keep_to_their_trials_and_find_good_options(tmp_path: Path, sampler: str) -> None:
    device = PretendDevice(smooth_latency(3), noise=0.01)
    space = small_space(PretendToolchain(), (1, 2, 4, 8, 16))
    result = run(tmp_path, device, space=space, sampler=sampler, trials=24)
    assert len(result.trials) == 24
    assert result.trials[0].plan == space.default_plan
    assert loss(result, smooth_latency(3)) < 0.08


def test_an_adaptive_search_ends_when_everything_was_tried(tmp_path: Path) -> None:
    device = PretendDevice(smooth_latency())
    result = run(tmp_path, device, space=small_space(PretendToolchain(), (4,)), sampler="random", trials=100)
    assert result.cost.stopped_because == "every distinct variant was tried"
    assert loss(result, smooth_latency()) == pytest.approx(0, abs=1e-9)


def test_a_layer_is_credited_with_its_own_latency(tmp_path: Path) -> None:
    result = run(tmp_path, PretendDevice(smooth_latency()), sampler="random", trials=6)
    for layer in result.space.layers:
        for options, estimate in result.evidence.estimates(layer.shape).items():
            assert estimate.ms == pytest.approx(smooth_latency()(layer.node_id, options))


def test_layers_of_equal_shape_share_what_they_learn(tmp_path: Path) -> None:
    device = PretendDevice(smooth_latency())
    result = run(tmp_path, device, sampler="random", trials=5)
    one, other = result.space.layers[1], result.space.layers[2]
    tried = {o for n, o in timed_pairs(device) if n in (one.node_id, other.node_id)}
    assert len(tried) == 1 + 2 * 4  # the default, then two at a time
    winners = choose_winners(result)
    assert winners.plan[one.node_id] == winners.plan[other.node_id]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_proposes_the_same(tmp_path: Path, sampler: str) -> None:
    one = run(tmp_path / "a", PretendDevice(smooth_latency()), sampler=sampler, trials=8, seed=7)
    other = run(tmp_path / "b", PretendDevice(smooth_latency()), sampler=sampler, trials=8, seed=7)
    assert [t.plan for t in one.trials] == [t.plan for t in other.trials]


def test_several_boards_work_at_once_and_trials_are_announced_in_order(tmp_path: Path) -> None:
    watcher = Watcher()
    boards = [
        PretendDevice(smooth_latency(), name=f"board{i}", before_run=lambda job, i=i: time.sleep(0.02 * i))
        for i in range(4)
    ]
    result = run(tmp_path, *boards, capacity=4, sampler="grid", plans_per_visit=1, observer=watcher)
    assert watcher.trials == list(range(len(result.trials)))
    assert set(result.boards.boards) == {"board0", "board1", "board2", "board3"}
    layer = result.space.layers[1]
    swept = [outcome.plan[layer.node_id] for outcome in result.trials[: len(layer.variants)]]
    assert set(swept) == set(layer.variants), "no device repeats what another one did"


def test_the_time_limit_ends_a_search(tmp_path: Path) -> None:
    device = PretendDevice(smooth_latency(), before_run=lambda job: time.sleep(0.4))
    result = run(tmp_path, device, sampler="grid", plans_per_visit=1, timeout=2.0)
    assert result.cost.stopped_because == "the time limit was reached"
    assert 0 < len(result.trials) < 10


def test_an_unknown_sampler_is_named(tmp_path: Path) -> None:
    for sampler, message in {
        "tbe": r"'tbe' is unknown \(did you mean tpe\?\); use one of grid",
        "optuna.samplers:Nothing": "cannot import",
        "no.such.module:Thing": "cannot import",
        "json:JSONDecoder": "not an Optuna sampler",
        "optuna.samplers:GridSampler": "cannot be made without more arguments",
    }.items():
        with pytest.raises(ConfigurationError, match=f"--sampler: .*{message}"):
            run(tmp_path, PretendDevice(constant({})), sampler=sampler)


def test_progress_tells_what_a_display_needs(tmp_path: Path) -> None:
    watcher = Watcher()
    result = run(tmp_path, PretendDevice(smooth_latency(), noise=0.01), sampler="tpe", trials=12, observer=watcher)
    last = watcher.progress[-1]
    assert watcher.progress[0].phase == "building"
    assert last.phase == "done"
    assert last.trials_finished == last.trials_planned
    assert last.trials_finished >= 12
    assert last.builds == 1
    assert last.gain == pytest.approx(1 - (last.best_ms or 0) / (last.default_ms or 1))
    assert last.board_seconds > 0
    assert last.observations == result.cost.observations
    assert any(p.boards_busy for p in watcher.progress)


def test_spoiled_measurements_do_not_mislead_much(tmp_path: Path) -> None:
    losses = []
    for seed in range(5):
        device = PretendDevice(smooth_latency(seed), noise=0.01, spoiled=0.3, seed=seed)
        losses.append(loss(run(tmp_path / str(seed), device, sampler="grid"), smooth_latency(seed)))
    assert max(losses) < 0.02


def test_layers_keep_the_default_when_nothing_was_measured(tmp_path: Path) -> None:
    def never(job: Job) -> None:
        raise AssertionError("nothing should run")

    device = PretendDevice(smooth_latency(), before_run=never)
    result = run(tmp_path, device, sampler="grid", timeout=1e-9)
    assert choose_winners(result).plan == result.space.default_plan


assert SMALL[1].shape == SMALL[2].shape  # what several tests rely on
