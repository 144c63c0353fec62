"""Whole searches on a pretended board: what is measured, what is chosen, what is kept."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from threadpoolctl import threadpool_info

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.statistics import SIGNIFICANT_PAIRS
from ellopt.core.trial import Trial, TrialState
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.search.driver import search
from ellopt.search.observer import SearchObserver, SearchProgress
from ellopt.search.result import SearchResult
from ellopt.search.samplers import rematch
from ellopt.search.settings import SearchSettings
from ellopt.select.winners import choose_winners
from ellopt.space.space import ModelSpace
from tests.support.paths import module_command, module_environment
from tests.support.pretend import (
    MODEL,
    SMALL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    constant,
    small_space,
    smooth_latency,
)

SAMPLERS = ("grid", "tpe", "random", "optuna.samplers:QMCSampler")
DEPTHS = (1, 4, 16)


class Watcher:
    def __init__(self) -> None:
        self.trials: list[int] = []
        self.resumed: list[int] = []
        self.progress: list[SearchProgress] = []

    def trial_finished(self, trial: Trial) -> None:
        assert (trial.samples is None) == (trial.state is TrialState.FAILED)
        self.trials.append(trial.number)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self.resumed += [trial.number for trial in trials]

    def state_changed(self, progress: SearchProgress) -> None:
        self.progress.append(progress)


class BusyThreads(Watcher):
    """How many threads the matrix operations of this process may use while a search runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def state_changed(self, progress: SearchProgress) -> None:
        self.seen |= {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def run(
    directory: Path,
    *devices: PretendDevice,
    space: ModelSpace | None = None,
    observer: SearchObserver | None = None,
    capacity: int = 1,
    toolchain: PretendToolchain | None = None,
    **settings: object,
) -> SearchResult:
    toolchain = toolchain or PretendToolchain()
    space = space or small_space(toolchain, DEPTHS)
    lab = DeviceMeasurer(
        MODEL, toolchain, PretendPool(*devices, capacity=capacity), TARGET, directory,
        MeasureSettings(attempts=3), sleep=lambda seconds: None,
    )  # fmt: skip
    return search(space, lab, SearchSettings(**settings), directory, observer, identity="pretend")  # type: ignore[arg-type]


def timed_pairs(*devices: PretendDevice) -> Counter[tuple[str, ConvolutionOptions]]:
    """How many visits timed each (layer, options)."""
    jobs = [job for device in devices for job in device.jobs if job.kind == "profile"]
    return Counter(pair for job in jobs for plan in job.plans for pair in plan.items())


def loss(result: SearchResult, latency: object) -> float:
    """How much slower the winners are than the best there is, as a share."""
    plan = choose_winners(result).plan
    found = sum(latency(n, o) for n, o in plan.items())  # type: ignore[operator]
    best = sum(min(latency(s.node_id, o) for o in s.variants) for s in result.space.layers)  # type: ignore[operator]
    return float(found / best - 1)


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
    """Passes differ by 15 %: who leads after one visit was lucky."""
    result = run(tmp_path, PretendDevice(smooth_latency(2), noise=0.15, seed=4), sampler=sampler)
    evidence, close = result.evidence, 0
    for layer in choose_winners(result).layers:
        shape = evidence.shape_of(layer.node_id)
        winner, rival = layer.winner, layer.runner_up
        if rival is None or layer.against_runner_up is None or layer.against_runner_up.gain > 0.1:
            continue  # so far ahead that noise is no excuse
        close += 1
        met = {s.visit for s in evidence.samples(shape, winner)} & {s.visit for s in evidence.samples(shape, rival)}
        assert len(met) >= 2, (layer.node_id, layer.why)
        assert len(evidence.log_ratios(shape, winner, rival)) >= SIGNIFICANT_PAIRS
    assert close


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


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_finished_search_is_not_run_again(tmp_path: Path, sampler: str) -> None:
    watcher, device = Watcher(), PretendDevice(smooth_latency(), noise=0.02)
    first = run(tmp_path, device, sampler=sampler, trials=8)
    jobs = len(device.jobs)
    second = run(tmp_path, device, sampler=sampler, trials=8, observer=watcher)
    assert len(device.jobs) == jobs
    assert second.trials == first.trials
    assert second.cost.board_seconds == first.cost.board_seconds
    assert watcher.trials == []
    assert watcher.resumed == [t.number for t in first.trials]
    assert choose_winners(second).plan == choose_winners(first).plan


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path, sampler: str) -> None:
    visits = 0

    def interrupt(job: Job) -> None:
        nonlocal visits
        visits += job.kind == "profile"
        if visits == 3:
            raise KeyboardInterrupt

    settings = {"sampler": sampler, "trials": 12, "plans_per_visit": 2}
    first = PretendDevice(smooth_latency(), before_run=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first, **settings)
    watcher, second = Watcher(), PretendDevice(smooth_latency())
    result = run(tmp_path, second, observer=watcher, **settings)
    assert watcher.resumed == [0, 1, 2, 3]
    assert [t.number for t in result.trials] == list(range(len(result.trials)))
    assert watcher.trials == [t.number for t in result.trials[4:]]
    first_plans = {p for job in first.jobs[:4] if job.kind == "profile" for p in job.plans}
    second_plans = [p for job in second.jobs if job.kind == "profile" for p in job.plans]
    if sampler == "grid":
        assert not first_plans & set(second_plans)
        assert len(first_plans) + len(second_plans) == len(result.trials) == 12


def test_more_trials_continue_the_same_study(tmp_path: Path) -> None:
    run(tmp_path, PretendDevice(smooth_latency()), sampler="tpe", trials=6)
    result = run(tmp_path, PretendDevice(smooth_latency()), sampler="tpe", trials=12)
    assert len(result.trials) == 12


def test_another_space_or_toolchain_starts_afresh(tmp_path: Path) -> None:
    run(tmp_path, PretendDevice(smooth_latency()), sampler="grid")
    device = PretendDevice(smooth_latency())
    result = run(tmp_path, device, space=small_space(PretendToolchain(), (2,)), sampler="grid")
    assert len(timed_pairs(device)) == sum(len(layer.variants) for layer in result.space.layers)
    assert (tmp_path / "observations.jsonl.1").exists()


@pytest.mark.parametrize("file", ["observations.jsonl", "study.journal"])
@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_no_harm(tmp_path: Path, file: str, cut: int) -> None:
    first = run(tmp_path, PretendDevice(smooth_latency()), sampler="random", trials=6)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-cut])
    (tmp_path / "study.journal.lock").write_text("")
    started = time.monotonic()
    result = run(tmp_path, PretendDevice(smooth_latency()), sampler="random", trials=6)
    assert time.monotonic() - started < 10  # no waiting for a lock that nobody holds
    assert len(result.trials) == 6
    if file == "study.journal":
        assert [t.plan for t in result.trials] == [t.plan for t in first.trials]
    study = load_study(tmp_path)
    assert [t.number for t in study.trials] == list(range(6))


def test_a_damaged_journal_is_written_anew_from_the_log(tmp_path: Path) -> None:
    run(tmp_path, PretendDevice(smooth_latency()), sampler="random", trials=6)
    (tmp_path / "study.journal").write_text('{"op_code": 99}\nrubbish\n')
    result = run(tmp_path, PretendDevice(smooth_latency()), sampler="random", trials=6)
    assert [t.value for t in load_study(tmp_path).trials] == [t.total_ms for t in result.trials]


def load_study(directory: Path) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(directory / "study.journal"))
    return optuna.load_study(study_name="ellopt", storage=optuna.storages.JournalStorage(backend))


def test_the_study_has_a_parameter_a_layer_and_the_latency_as_value(tmp_path: Path) -> None:
    broken = frozenset({ConvolutionOptions("winograd", False, 0, 4, 4)})
    result = run(tmp_path, PretendDevice(smooth_latency(), wrong=broken), sampler="grid")
    trials = load_study(tmp_path).trials
    assert len(trials) == len(result.trials)
    for found, report in zip(trials, result.trials, strict=True):
        assert found.params == {f"layer {n}": str(options) for n, options in report.plan.items()}
        assert found.user_attrs["reason"] == report.reason
        if report.state == "complete":
            assert found.state is OptunaState.COMPLETE
            assert found.value == report.total_ms
            assert len(found.intermediate_values) == len(result.trials[found.number].samples.total_ms)
        else:
            assert found.state is OptunaState.FAIL


def test_one_search_at_a_time_in_a_directory(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ellopt.files.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(ConfigurationError, match="another ellopt is at work there"):
            run(tmp_path, PretendDevice(smooth_latency()), sampler="grid")
    finally:
        holder.kill()
        holder.wait()
    run(tmp_path, PretendDevice(smooth_latency()), sampler="grid")


def test_kill_9_at_any_moment_loses_no_finished_trial(tmp_path: Path) -> None:
    command, environment = module_command("search_to_be_killed", tmp_path), module_environment()
    generator = random.Random(5)
    finished: dict[int, str] = {}
    for attempt in range(30):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        wait = generator.randrange(1, 6)
        announced = [line for line, _ in zip(lines, range(wait), strict=False)]
        time.sleep(generator.uniform(0, 0.05))
        process.kill()
        process.wait()
        announced += process.stdout.readlines()
        for line in announced:
            if not line.startswith("trial ") or not line.endswith("\n"):
                continue
            number, plan = line[6:].split(" ", 1)
            assert int(number) not in finished, f"trial {number} was run again (attempt {attempt})"
            finished[int(number)] = plan
        if any(line.startswith("done") for line in announced):
            break
    else:
        pytest.fail("the search never ended")
    trials = load_study(tmp_path).trials
    kept = {trial.number: {n.removeprefix("layer "): text for n, text in trial.params.items()} for trial in trials}
    assert sorted(kept) == list(range(len(kept)))
    assert all(trial.state.is_finished() for trial in trials)
    assert all(json.loads(plan) == kept[number] for number, plan in finished.items())
    once = [json.dumps(kept[t.number]) for t in trials if t.system_attrs["ellopt"]["stage"] != rematch.STAGE]
    assert len(set(once)) == len(once), "nothing but a rematch is measured again"
    log = [json.loads(line) for line in (tmp_path / "observations.jsonl").read_text().splitlines()]
    keys = [line["observation"]["key"] for line in log if "observation" in line]
    assert sorted(keys) == sorted(t.system_attrs["ellopt"]["key"] for t in trials), "nothing was measured for nothing"
    assert attempt > 1


def test_several_boards_work_at_once_and_trials_are_announced_in_order(tmp_path: Path) -> None:
    watcher = Watcher()
    boards = [
        PretendDevice(smooth_latency(), name=f"board{i}", before_run=lambda job, i=i: time.sleep(0.002 * i))
        for i in range(4)
    ]
    result = run(tmp_path, *boards, capacity=4, sampler="grid", plans_per_visit=1, observer=watcher)
    assert watcher.trials == list(range(len(result.trials)))
    assert set(result.boards.boards) == {"board0", "board1", "board2", "board3"}
    layer = result.space.layers[1]
    swept = [outcome.plan[layer.node_id] for outcome in result.trials[: len(layer.variants)]]
    assert set(swept) == set(layer.variants), "no device repeats what another one did"


def test_a_board_that_fails_for_good_ends_the_search_with_its_work_saved(tmp_path: Path) -> None:
    runs = 0

    def dies(job: Job) -> None:
        nonlocal runs
        runs += job.kind == "profile"
        if runs > 2:
            raise InfrastructureError("no route to host")

    with pytest.raises(InfrastructureError, match="no route"):
        run(tmp_path, PretendDevice(smooth_latency(), before_run=dies), sampler="grid", plans_per_visit=2)
    watcher = Watcher()
    result = run(tmp_path, PretendDevice(smooth_latency()), sampler="grid", observer=watcher)
    assert watcher.resumed == [0, 1, 2, 3]
    assert loss(result, smooth_latency()) == pytest.approx(0, abs=1e-9)


def test_the_time_limit_ends_a_search(tmp_path: Path) -> None:
    device = PretendDevice(smooth_latency(), before_run=lambda job: time.sleep(0.1))
    result = run(tmp_path, device, sampler="grid", plans_per_visit=1, timeout=0.5)
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
