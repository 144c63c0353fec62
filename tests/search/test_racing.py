"""``auto``: finds what is best at a fraction of the cost, prunes what is behind, ends and says why."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from search_support import (
    MODEL,
    SMALL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    layers,
    shape,
    small_space,
    smooth_latency,
)

from ellopt.errors import ConfigurationError
from ellopt.laboratory import Laboratory
from ellopt.options import ConvolutionOptions
from ellopt.procedure import Procedure
from ellopt.search.contest import Rival
from ellopt.search.cost_model import CostModel, Observation, Posterior, expected_improvement
from ellopt.search.driver import search
from ellopt.search.racing import promising
from ellopt.search.replay import ReplayLaboratory, Table
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.shapes import ConvolutionLayer
from ellopt.toolchains.base import Job
from ellopt.winners import choose_winners

DEPTHS = (1, 2, 4, 8, 16)
MODEL_LAYERS = layers(
    shape(3, 16, size=64), shape(16, 32, size=32), shape(16, 32, size=32), shape(32, 32, field=1, size=32),
    shape(32, 64, size=16), shape(64, 64, depthwise=True, size=16), shape(64, 128, stride=2, size=16),
    shape(128, 128, size=8),
)  # fmt: skip


def table(
    seed: int = 0, noise: float = 0.02, rounds: int = 30, model_layers: tuple[ConvolutionLayer, ...] = MODEL_LAYERS
) -> Table:
    """A table of a model whose latencies have a structure, with noise."""
    toolchain = PretendToolchain(model_layers)
    space = small_space(toolchain, DEPTHS)
    latency = smooth_latency(seed, model_layers)
    generator = np.random.default_rng(seed)

    def samples(ms: float) -> tuple[float, ...]:
        return tuple(float(v) for v in ms * np.exp(generator.normal(0, noise, rounds)))

    return Table(
        space=space,
        samples_ms={s.node_id: {o: samples(latency(s.node_id, o)) for o in s.variants} for s in space.layers},
        others_ms=samples(0.5),
        run_seconds=0.005,
        build_seconds=10.0,
        about={"board": "a table"},
    )


def replay(source: Table, directory: Path, seed: int = 0, spoiled: float = 0.0, **options: object) -> SearchResult:
    laboratory = ReplayLaboratory(source, seed, spoiled)
    return search(source.space, laboratory, SearchSettings(sampler="auto", seed=seed, **options), directory)  # type: ignore[arg-type]


def loss(source: Table, result: SearchResult) -> float:
    return source.plan_ms(choose_winners(result).plan) / source.plan_ms(source.best_plan) - 1


def sweep_seconds(source: Table) -> float:
    """The original sweep: every combination of the options file built and run twice, 30 passes each."""
    by_plan = [
        sum(source.true_ms(s.node_id, s.variants[t % len(s.variants)]) for s in source.space.layers)
        for t in range(max(len(s.variants) for s in source.space.layers))
    ]
    return 436 * 60 * float(np.median(by_plan)) / 1000


def test_it_costs_a_hundredth_of_the_sweep_and_finds_the_same_model(tmp_path: Path) -> None:
    for seed in range(6):
        source = table(seed)
        result = replay(source, tmp_path / str(seed), seed)
        assert loss(source, result) < 0.01
        assert result.cost.board_seconds < sweep_seconds(source) / 100
        assert result.cost.builds == 1
        assert result.cost.stopped_because.startswith("what is left to gain is expected to be 0")
        assert result.cost.stopped_because.endswith("less than 1.00%")


def test_slow_outliers_do_not_mislead_it(tmp_path: Path) -> None:
    losses = []
    for seed in range(6):
        source = table(seed)
        losses.append(loss(source, replay(source, tmp_path / str(seed), seed, spoiled=0.3)))
    assert max(losses) < 0.02


def test_less_tolerance_costs_more(tmp_path: Path) -> None:
    source = table(3)
    rough, fine = (replay(source, tmp_path / str(t), tolerance=t) for t in (0.2, 0.002))
    assert rough.cost.board_seconds < fine.cost.board_seconds


def test_what_is_hopeless_is_hardly_tried(tmp_path: Path) -> None:
    source = table(1)
    result = replay(source, tmp_path)
    best = source.best_plan
    slow = [
        (s.node_id, o)
        for s in source.space.layers
        for o in s.variants
        if source.true_ms(s.node_id, o) > 3 * source.true_ms(s.node_id, best[s.node_id])
    ]
    tried = [(n, o) for n, o in slow if any(outcome.plan[n] == o for outcome in result.outcomes)]
    assert len(tried) < len(slow) / 3
    reports = {(r.node_id, v.options): v for r in choose_winners(result).layers for v in r.variants}
    untried = [reports[n, str(o)] for n, o in slow if (n, o) not in tried]
    assert all(v.state != "untried" or v.reason.startswith("expected to take") for v in untried)
    assert any(v.state == "pruned" and "times the latency of" in v.reason for v in reports.values())


def test_pruned_trials_are_pruned_in_optuna_too_and_count_what_they_saved(tmp_path: Path) -> None:
    result = None
    for seed in range(8):
        result = replay(table(seed), tmp_path / str(seed), seed)
        if result.cost.trials_pruned:
            break
    assert result is not None
    assert result.cost.trials_pruned
    assert result.cost.saved_seconds > 0
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / str(seed) / "study.journal"))
    study = optuna.load_study(study_name="ellopt", storage=optuna.storages.JournalStorage(backend))
    pruned = [t for t in study.trials if t.state is TrialState.PRUNED]
    assert len(pruned) == result.cost.trials_pruned
    assert all(t.intermediate_values and t.user_attrs["reason"] for t in pruned)
    assert [t.state for t in result.trials].count("pruned") == len(pruned)


def test_the_first_trial_is_the_default_and_every_winner_has_evidence_against_it(tmp_path: Path) -> None:
    source = table(2)
    result = replay(source, tmp_path)
    assert result.trials[0].plan == {n: str(o) for n, o in source.space.default_plan.items()}
    for layer in choose_winners(result).layers:
        if layer.winner != layer.default:
            assert layer.against_default is not None
            assert layer.against_default.significant
            assert layer.against_default.gain > 0


def test_the_limit_of_trials_is_kept(tmp_path: Path) -> None:
    result = replay(table(0), tmp_path, trials=7)
    assert len(result.trials) == 7
    assert result.cost.stopped_because == "the limit of trials was reached"


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    visits = 0

    def interrupt(job: Job) -> None:
        nonlocal visits
        visits += job.kind == "profile"
        if visits == 3:
            raise KeyboardInterrupt

    toolchain = PretendToolchain(MODEL_LAYERS)
    space = small_space(toolchain, DEPTHS)
    latency = smooth_latency(4, MODEL_LAYERS)

    def run(device: PretendDevice) -> SearchResult:
        lab = Laboratory(MODEL, toolchain, PretendPool(device), TARGET, tmp_path)
        return search(space, lab, SearchSettings(sampler="auto"), tmp_path)

    with pytest.raises(KeyboardInterrupt):
        run(PretendDevice(latency, noise=0.01, before_run=interrupt))
    device = PretendDevice(latency, noise=0.01)
    result = run(device)
    assert [t.number for t in result.trials] == list(range(len(result.trials)))
    done_before = len(result.trials) - sum(len(job.plans) for job in device.jobs if job.kind == "profile")
    assert done_before > 2
    jobs = len(device.jobs)
    again = run(device)
    assert len(device.jobs) == jobs
    assert again.cost.stopped_because == result.cost.stopped_because


def test_wrong_variants_do_not_stop_it(tmp_path: Path) -> None:
    toolchain = PretendToolchain(SMALL)
    space = small_space(toolchain, DEPTHS)
    wrong = frozenset(o for o in space.layers[0].variants if o.method == "winograd")
    device = PretendDevice(smooth_latency(), noise=0.01, wrong=wrong)
    lab = Laboratory(MODEL, toolchain, PretendPool(device), TARGET, tmp_path)
    result = search(space, lab, SearchSettings(sampler="auto"), tmp_path)
    assert all(o not in wrong for o in choose_winners(result).plan.values())
    assert result.cost.trials_failed > 0


def test_several_boards_share_the_work(tmp_path: Path) -> None:
    toolchain = PretendToolchain(MODEL_LAYERS)
    space = small_space(toolchain, DEPTHS)
    latency = smooth_latency(1, MODEL_LAYERS)
    boards = [PretendDevice(latency, name=f"board{i}", noise=0.01, seed=i) for i in range(3)]
    lab = Laboratory(MODEL, toolchain, PretendPool(*boards, capacity=3), TARGET, tmp_path)
    result = search(space, lab, SearchSettings(sampler="auto"), tmp_path)
    assert all(any(job.kind == "profile" for job in board.jobs) for board in boards)
    found = sum(latency(n, o) for n, o in choose_winners(result).plan.items())
    assert found / sum(min(latency(s.node_id, o) for o in s.variants) for s in space.layers) < 1.01


def test_a_way_learned_on_some_layers_is_expected_on_others() -> None:
    shapes = [shape(2**i, 2**i, size=16) for i in range(3, 8)]
    unrolled, winograd = ConvolutionOptions("unrolled"), ConvolutionOptions("winograd", False, 0, 4, 4)
    known = {}
    for s in shapes:
        known[s, unrolled] = Observation(s.multiply_adds * 1e-6, 0.02, 0.0)
    for s in shapes[:-1]:
        known[s, winograd] = Observation(s.multiply_adds * 0.5e-6, 0.02, 0.0)
    posterior = CostModel(known).predict(shapes[-1], [winograd, unrolled])
    ratio = math.exp(posterior.mean[0] - posterior.mean[1])
    assert ratio == pytest.approx(0.5, rel=0.2)
    assert posterior.deviation[0] > 3 * posterior.deviation[1]


def test_a_few_samples_far_above_what_is_expected_are_doubted() -> None:
    shapes = [shape(2**i, 2**i, size=16) for i in range(3, 8)]
    options = ConvolutionOptions("unrolled")
    known = {(s, options): Observation(s.multiply_adds * 1e-6, 0.02, 0.01) for s in shapes}
    assert not [d for d in CostModel(known).doubts.values() if d.probability > 0.05]
    odd = (shapes[2], options)
    known[odd] = replace(known[odd], ms=known[odd].ms * 3)
    model = CostModel(known)
    assert model.doubts[odd].probability > 0.2
    assert math.exp(model.doubts[odd].mean) < known[odd].ms / 2
    believed = CostModel({**known, odd: replace(known[odd], spoiled=0.01**6)})
    assert odd not in believed.doubts


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_variants_that_are_certainly_alike_are_as_good_as_one(count: int, seed: int) -> None:
    """A covariance that rounding leaves short of positive definite is no failure."""
    variants = tuple(ConvolutionOptions("winograd", False, 0, f, 1) for f in range(1, count + 1))
    covariance = np.full((count, count), 0.01) - 1e-7 * np.eye(count)
    alike = Posterior(variants, np.zeros(count), covariance)
    one = Posterior(variants[:1], np.zeros(1), np.full((1, 1), 0.01))
    gains = [p.expected_best(1.0, np.random.default_rng(seed), 4096) for p in (alike, one)]
    assert gains[0] == pytest.approx(gains[1], rel=0.15)


@settings(deadline=None, max_examples=50)
@given(st.floats(-2, 2), st.floats(0.01, 1.0), st.floats(0.1, 10))
def test_expected_improvement_is_what_draws_give(mean: float, deviation: float, best: float) -> None:
    formula = float(expected_improvement(np.array([mean]), np.array([deviation]), best)[0])
    draws = np.exp(np.random.default_rng(0).normal(mean, deviation, 40_000))
    assert formula == pytest.approx(float(np.maximum(0, best - draws).mean()), rel=0.1, abs=0.01 * best)


@given(st.floats(-0.2, 0.2), st.floats(0.001, 0.1))
def test_a_rival_gains_less_the_further_it_is_behind(log_ratio: float, error: float) -> None:
    nearer = Rival(ConvolutionOptions("simple"), log_ratio - 0.01, error)
    further = Rival(ConvolutionOptions("simple"), log_ratio, error)
    assert nearer.expected_gain >= further.expected_gain >= 0
    assert further.expected_gain >= -log_ratio - 1e-12


def test_the_most_promising_are_not_all_neighbours() -> None:
    s = shape(64, 64)
    variants = [ConvolutionOptions("winograd", False, 0, f, c) for f in (1, 2, 4, 8, 16) for c in (1, 2, 4, 8, 16)]
    known = {(s, variants[0]): Observation(1.0, 0.02, 0.0)}
    chosen = promising(CostModel(known).predict(s, variants[1:]), 1.0, {}, 1e-6, 4)
    assert len(chosen) == 4
    assert len({o.nonseparable_filter_block_depth for o in chosen}) > 1
    assert len({o.nonseparable_channel_depth for o in chosen}) > 1


def test_a_table_is_what_was_saved(tmp_path: Path) -> None:
    source = table(5)
    source.save(tmp_path / "table.json")
    assert Table.load(tmp_path / "table.json") == source
    (tmp_path / "table.json").write_text('{"format": 1}')
    with pytest.raises(ConfigurationError, match=r"table.json: not a table of measurements"):
        Table.load(tmp_path / "table.json")


def test_a_replay_reads_each_round_from_a_recorded_one() -> None:
    source = table(0, noise=0.1)
    laboratory = ReplayLaboratory(source, 1)
    plans = [source.space.default_plan, source.best_plan]
    one, other = laboratory.measure(plans, Procedure(rounds=5))
    assert one.samples is not None
    assert other.samples is not None
    for node_id in source.samples_ms:
        recorded = source.samples_ms[node_id]
        rounds = [recorded[one.plan[node_id]].index(ms) for ms in one.samples.layers_ms[node_id]]
        assert len(set(rounds)) == 5
        assert [recorded[other.plan[node_id]][r] for r in rounds] == list(other.samples.layers_ms[node_id])
