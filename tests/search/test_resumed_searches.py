"""A search goes on where it ended, whatever ended it; what it leaves is a study that Optuna reads."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.search.samplers import rematch
from ellopt.select.winners import choose_winners
from tests.support.paths import module_command, module_environment
from tests.support.patience import SOON
from tests.support.pretend import PretendDevice, PretendToolchain, small_space, smooth_latency
from tests.support.searches import SAMPLERS, Watcher, loss, run, timed_pairs


def load_study(directory: Path) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(directory / "study.journal"))
    return optuna.load_study(study_name="ellopt", storage=optuna.storages.JournalStorage(backend))


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
    assert time.monotonic() - started < SOON  # no waiting for a lock that nobody holds
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
