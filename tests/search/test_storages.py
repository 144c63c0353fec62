"""Studies in databases, and pruners of one's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.job import Job
from ellopt.files.disk import Disk, using
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.search.driver import search
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from tests.support.postgresql import NO_POSTGRESQL, postgresql, postgresql_programs
from tests.support.pretend import (
    MODEL,
    SMALL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    small_space,
    smooth_latency,
)

GRID = SearchSettings(sampler="grid", plans_per_visit=2)
TOOLCHAIN = PretendToolchain(SMALL[:2])
SPACE = small_space(TOOLCHAIN, (1, 4), ("simple", "unrolled", "winograd"))


def run(
    directory: Path, settings: SearchSettings, device: PretendDevice | None = None, identity: str = "of this"
) -> SearchResult:
    pool = PretendPool(device or PretendDevice(smooth_latency()))
    measurer = DeviceMeasurer(
        MODEL, TOOLCHAIN, pool, TARGET, directory, MeasureSettings(), sleep=lambda seconds: None
    )  # fmt: skip
    return search(SPACE, measurer, settings, directory, name="net", identity=identity)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'studies.db'}"
        return
    if postgresql_programs() is None:
        pytest.skip(NO_POSTGRESQL)
    with postgresql() as found:
        yield found


def trials_at(url: str, name: str = "net") -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage=url).trials


def interrupted(at: int) -> PretendDevice:
    visits = 0

    def interrupt(job: Job) -> None:
        nonlocal visits
        visits += job.kind == "profile"
        if visits == at:
            raise KeyboardInterrupt

    return PretendDevice(smooth_latency(), before_run=interrupt)


def test_a_search_goes_on_in_a_database_and_measures_nothing_twice(url: str, tmp_path: Path) -> None:
    settings = replace(GRID, storage=url, trials=4, rounds=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", settings, interrupted(2))
    begun = trials_at(url)
    assert [t.state for t in begun] == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING] * 2
    result = run(tmp_path / "out", settings)
    trials = trials_at(url)
    assert [t.params for t in trials] == [t.params for t in begun], "what was begun has its own number still"
    assert all(t.state is TrialState.COMPLETE for t in trials)
    assert [t.value for t in trials] == [t.total_ms for t in result.trials]
    assert len({tuple(t.params.values()) for t in trials}) == 4
    assert not (tmp_path / "out" / "study.journal").exists()

    # Without samples of ours the study alone will do; another search of the same name has a study of its own.
    device = PretendDevice(smooth_latency())
    (tmp_path / "out" / "observations.jsonl").unlink()
    again = run(tmp_path / "out", settings, device)
    assert not device.jobs
    assert [t.plan for t in again.trials] == [t.plan for t in result.trials]
    run(tmp_path / "other", replace(settings, trials=1), identity="of that")
    assert len(optuna.get_all_study_names(url)) == 2


def test_a_study_that_is_searched_is_no_other_directorys(url: str, tmp_path: Path) -> None:
    settings = replace(GRID, storage=url, trials=4, rounds=2)
    refused = []

    def second(job: Job) -> None:
        if not refused:
            with pytest.raises(ConfigurationError, match=r"--storage: the study 'net' .*/first, which has not ended"):
                run(tmp_path / "second", settings)
            refused.append(job)

    first = run(tmp_path / "first", settings, PretendDevice(smooth_latency(), before_run=second))
    assert refused
    assert len(first.trials) == len(trials_at(url)) == 4
    device = PretendDevice(smooth_latency())
    again = run(tmp_path / "second", settings, device)  # the first has ended: what it found serves the second
    assert not device.jobs
    assert [t.plan for t in again.trials] == [t.plan for t in first.trials]


def test_what_fails_or_is_interrupted_gives_its_study_back(url: str, tmp_path: Path) -> None:
    settings = replace(GRID, storage=url, trials=4, rounds=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "first", settings, interrupted(2))
    assert len(run(tmp_path / "second", settings).trials) == 4


class KillingDisk(Disk):
    """Kills this process when a record has reached the disk: after the n-th sync."""

    def __init__(self, at: int) -> None:
        self._left = at

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_kill_9_between_samples_and_study_loses_and_repeats_nothing(tmp_path: Path) -> None:
    for at in (2, 3):
        url = f"sqlite:///{tmp_path / f'{at}.db'}"
        child = os.fork()
        if not child:
            with using(KillingDisk(at)):
                run(tmp_path / str(at), replace(GRID, storage=url, trials=4, rounds=2))
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        with pytest.raises(ConfigurationError, match="has not ended"):
            run(tmp_path / "elsewhere", replace(GRID, storage=url, trials=4, rounds=2))
        seen = (tmp_path / str(at) / "observations.jsonl").read_text().count('"observation"')
        device = PretendDevice(smooth_latency())
        result = run(tmp_path / str(at), replace(GRID, storage=url, trials=4, rounds=2), device)
        measured = sum(len(job.plans) for job in device.jobs if job.kind == "profile")
        assert len(result.trials) == seen + measured == len(trials_at(url))
        assert all(t.state is TrialState.COMPLETE for t in trials_at(url))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url", "not the URL of a database"),
        ("nosuch://host/db", "cannot be used"),
        ("sqlite:////no/such/folder/studies.db", "cannot be used: unable to open"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_named_without_its_password(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, InfrastructureError), match=f"--storage: .*{message}") as caught:
        run(tmp_path, replace(GRID, storage=url))
    assert "secret" not in str(caught.value)


class PrunesLater(optuna.pruners.BasePruner):
    """Gives up what is slower than 20 ms as soon as two passes are known."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        passes = trial.intermediate_values
        return len(passes) >= 2 and min(passes.values()) > 20


@pytest.mark.parametrize("sampler", ["grid", "random", "auto"])
@pytest.mark.parametrize("form", ["{module}:PrunesLater", "{module}.PrunesLater"])
def test_any_pruner_by_import_path_ends_a_plans_turns(sampler: str, form: str, tmp_path: Path) -> None:
    settings = SearchSettings(sampler=sampler, trials=12, rounds=8, pruner=form.format(module=__name__))
    device = PretendDevice(smooth_latency())
    result = run(tmp_path, settings, device)
    slow = [t for t in result.trials if t.samples and len(t.samples.total_ms) >= 2 and min(t.samples.total_ms) > 20]
    pruned = [t for t in result.trials if t.state == "pruned" and "PrunesLater" in t.reason]
    assert {t.number for t in pruned} == {t.number for t in slow}
    if sampler == "grid":
        assert pruned
        assert all(t.samples and len(t.samples.total_ms) == 2 for t in pruned), "two of eight rounds"
        assert all(t.samples and len(t.samples.total_ms) == 8 for t in result.trials if t.state == "complete"
                   and t.stage == "grid")  # fmt: skip
        assert result.cost.saved_seconds > 0


def test_optunas_own_pruner_will_do_and_the_search_goes_on_with_it(tmp_path: Path) -> None:
    settings = replace(GRID, rounds=4, pruner="optuna.pruners.MedianPruner")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, settings, interrupted(6))
    first = run(tmp_path, settings)
    assert {"complete", "pruned"} == {str(t.state) for t in first.trials}
    device = PretendDevice(smooth_latency())
    assert run(tmp_path, settings, device).trials == first.trials
    assert not device.jobs


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        ("median", "'median' is unknown"),
        ("optuna.pruners:Nothing", "cannot import"),
        ("json:JSONDecoder", "not an Optuna pruner"),
        ("optuna.pruners.PercentilePruner", "cannot be made without more arguments"),
    ],
)
def test_an_unknown_pruner_is_named(pruner: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"--pruner: .*{message}"):
        run(tmp_path, replace(GRID, pruner=pruner))
