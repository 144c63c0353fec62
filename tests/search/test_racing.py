"""``auto``: finds what is best at a fraction of the cost, prunes what is behind, ends and says why."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.replay import ReplayMeasurer
from ellopt.measure.table import Table
from ellopt.search.driver import search
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.select.winners import choose_winners
from tests.support.pretend import (
    AT_ONCE,
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
from tests.support.tables import DEPTHS, MODEL_LAYERS, lost, pretend_table, sweep_seconds


def replay(source: Table, directory: Path, seed: int = 0, spoiled: float = 0.0, **options: object) -> SearchResult:
    measurer = ReplayMeasurer(source, seed, spoiled)
    return search(source.space, measurer, SearchSettings(sampler="auto", seed=seed, **options), directory)  # type: ignore[arg-type]


def loss(source: Table, result: SearchResult) -> float:
    return lost(source, choose_winners(result).plan)


def test_it_costs_a_hundredth_of_the_sweep_and_finds_the_same_model(tmp_path: Path) -> None:
    for seed in range(4):
        source = pretend_table(seed)
        result = replay(source, tmp_path / str(seed), seed)
        assert loss(source, result) < 0.01
        assert result.cost.board_seconds < sweep_seconds(source) / 100
        assert result.cost.builds == 1
        assert result.cost.stopped_because.startswith("what is left to gain is expected to be")


def test_slow_outliers_do_not_mislead_it(tmp_path: Path) -> None:
    losses = []
    for seed in range(4):
        source = pretend_table(seed)
        losses.append(loss(source, replay(source, tmp_path / str(seed), seed, spoiled=0.3)))
    assert max(losses) < 0.02


def test_less_tolerance_costs_more(tmp_path: Path) -> None:
    source = pretend_table(3)
    rough, fine = (replay(source, tmp_path / str(t), tolerance=t) for t in (0.2, 0.002))
    assert rough.cost.board_seconds < fine.cost.board_seconds


def test_what_is_hopeless_is_hardly_tried(tmp_path: Path) -> None:
    source = pretend_table(1)
    result = replay(source, tmp_path)
    best = source.best_plan
    slow = [
        (s.node_id, o)
        for s in source.space.layers
        for o in s.variants
        if source.true_ms(s.node_id, o) > 3 * source.true_ms(s.node_id, best[s.node_id])
    ]
    tried = [(n, o) for n, o in slow if any(outcome.plan[n] == o for outcome in result.trials)]
    assert len(tried) < len(slow) / 3
    reports = {(r.node_id, v.options): v for r in choose_winners(result).layers for v in r.variants}
    untried = [reports[n, o] for n, o in slow if (n, o) not in tried]
    assert all(v.state != "untried" or v.reason.startswith("expected to take") for v in untried)
    assert any(v.state == "pruned" and "times the latency of" in v.reason for v in reports.values())


def test_what_other_shapes_say_of_a_method_does_not_keep_it_from_being_tried(tmp_path: Path) -> None:
    for seed in range(4):
        result = replay(pretend_table(seed), tmp_path / str(seed), seed)
        for members in result.space.by_shape.values():
            tried = {outcome.plan[layer.node_id] for outcome in result.trials for layer in members}
            kinds = {(o.method, o.parallelize) for o in members[0].variants if o.method != "simple"}
            assert kinds <= {(o.method, o.parallelize) for o in tried}


def test_no_race_is_decided_by_few_visits(tmp_path: Path) -> None:
    source = pretend_table(0, noise=0.002)
    result = replay(source, tmp_path, tolerance=0.2)
    races = [o.visit.uid for o in result.trials if o.visit and o.samples and len(set(o.samples.rounds)) == 1]
    assert len(set(races)) >= 5


def test_pruned_trials_are_pruned_in_optuna_too_and_count_what_they_saved(tmp_path: Path) -> None:
    result = None
    for seed in range(8):
        result = replay(pretend_table(seed), tmp_path / str(seed), seed)
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
    source = pretend_table(2)
    result = replay(source, tmp_path)
    assert result.trials[0].plan == source.space.default_plan
    for layer in choose_winners(result).layers:
        if layer.winner != layer.default:
            assert layer.against_default is not None
            assert layer.against_default.significant
            assert layer.against_default.gain > 0


def test_the_limit_of_trials_is_kept(tmp_path: Path) -> None:
    result = replay(pretend_table(0), tmp_path, trials=7)
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
        lab = DeviceMeasurer(MODEL, toolchain, PretendPool(device), TARGET, tmp_path, AT_ONCE)
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
    lab = DeviceMeasurer(MODEL, toolchain, PretendPool(device), TARGET, tmp_path, AT_ONCE)
    result = search(space, lab, SearchSettings(sampler="auto"), tmp_path)
    assert all(o not in wrong for o in choose_winners(result).plan.values())
    assert result.cost.trials_failed > 0


def test_several_boards_share_the_work(tmp_path: Path) -> None:
    toolchain = PretendToolchain(MODEL_LAYERS)
    space = small_space(toolchain, DEPTHS)
    latency = smooth_latency(1, MODEL_LAYERS)
    boards = [PretendDevice(latency, name=f"board{i}", noise=0.01, seed=i) for i in range(3)]
    lab = DeviceMeasurer(MODEL, toolchain, PretendPool(*boards, capacity=3), TARGET, tmp_path, AT_ONCE)
    result = search(space, lab, SearchSettings(sampler="auto"), tmp_path)
    assert all(any(job.kind == "profile" for job in board.jobs) for board in boards)
    found = sum(latency(n, o) for n, o in choose_winners(result).plan.items())
    assert found / sum(min(latency(s.node_id, o) for o in s.variants) for s in space.layers) < 1.01


#: Its weights take megabytes, and ELL's default reads others than winograd does.
HEAVY = layers(shape(3, 16, size=64), shape(256, 256, size=8), shape(16, 32, size=32))


def by_visit(result: SearchResult, node_id: str, rounds: tuple[int, ...]) -> list[list[ConvolutionOptions]]:
    """What one layer was computed by, plan by plan, in each visit with such rounds, the first visit left out."""
    found: dict[str, list[ConvolutionOptions]] = {}
    for outcome in result.trials:
        if outcome.visit is not None and outcome.samples is not None and outcome.samples.rounds == rounds:
            found.setdefault(outcome.visit.uid, []).append(outcome.plan[node_id])
    first = result.trials[0].visit
    assert first is not None
    return [choices for uid, choices in found.items() if uid != first.uid]


def test_variants_that_read_the_same_many_weights_follow_each_other(tmp_path: Path) -> None:
    different = 0
    for seed in range(6):
        source = pretend_table(seed, noise=0.05, model_layers=HEAVY)
        races = by_visit(replay(source, tmp_path / str(seed), seed), source.space.layers[1].node_id, (0,))
        assert races
        for choices in races:
            ways = [options.way for options in choices]
            assert sum(a != b for a, b in pairwise(ways)) == len(set(ways)) - 1
            different += len(set(ways)) > 1
    assert different


def test_the_first_visit_waits_for_weights_and_reads_the_same_ones_one_after_the_other(tmp_path: Path) -> None:
    heavy = layers(shape(3, 16, size=64), shape(256, 256, size=2), shape(16, 32, size=32))
    toolchain = PretendToolchain(heavy)
    device = PretendDevice(smooth_latency(0, heavy), noise=0.01)
    lab = DeviceMeasurer(MODEL, toolchain, PretendPool(device), TARGET, tmp_path, AT_ONCE)
    search(small_space(toolchain, DEPTHS), lab, SearchSettings(sampler="auto"), tmp_path)
    first = next(job for job in device.jobs if job.kind == "profile")
    assert first.settle
    choices = [plan[heavy[1].node_id] for plan in first.plans]
    for parallel in (False, True):
        ways = [options.way for options in choices[1:] if options.parallelize == parallel]
        assert len(set(ways)) > 1
        assert sum(a != b for a, b in pairwise(ways)) == len(set(ways)) - 1


def test_what_is_slow_at_first_sight_is_not_timed_twice(tmp_path: Path) -> None:
    result = replay(pretend_table(1), tmp_path)
    sketch = [outcome for outcome in result.trials if outcome.visit and outcome.visit == result.trials[0].visit]
    passes = [len(outcome.samples.total_ms) for outcome in sketch if outcome.samples]
    totals = [outcome.samples.total_ms[0] for outcome in sketch if outcome.samples]
    fastest = min(totals)
    assert all(done == 1 for done, ms in zip(passes, totals, strict=True) if ms > 3 * max(totals[0], fastest))
    assert all(done == 2 for done, ms in zip(passes, totals, strict=True) if ms < 3 * fastest)
    assert {1, 2} == set(passes)


def test_a_default_with_many_other_weights_is_measured_by_itself_and_still_compared(tmp_path: Path) -> None:
    compared = alone = 0
    for seed in range(6):
        source = pretend_table(seed, model_layers=HEAVY)
        result = replay(source, tmp_path / str(seed), seed)
        layer = source.space.layers[1]
        report = choose_winners(result).layers[1]
        if report.winner.way == layer.default.way:
            continue
        compared += 1
        assert report.against_default is not None
        assert report.against_default.significant
        # Where the first visits said enough of it, it is not measured once more.
        again = [layer.default] in by_visit(result, layer.node_id, (0, 1))
        own = [trial for trial in result.trials if trial.plan[layer.node_id] == layer.default]
        visits = {trial.visit.uid for trial in own if trial.visit is not None}
        assert again or len(visits) > 2
        alone += again
        assert all(layer.default not in choices for choices in by_visit(result, layer.node_id, (0, 1, 2)))
    assert compared
    assert alone
