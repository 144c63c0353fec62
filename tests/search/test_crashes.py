"""A search that is stopped at any call to the disk, by an error, a power cut or kill -9, goes on and lost nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from ellopt.core.samples import PlanSamples
from ellopt.core.trial import TrialReport
from ellopt.files.disk import Disk, using
from ellopt.measure.measurer import DeviceMeasurer, MeasureSettings
from ellopt.search.driver import search
from ellopt.search.observer import SearchProgress
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from tests.support.crashing_disk import CrashingDisk, How, PowerCut
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


class Announced:
    """The trials that the world was told of: they count, whatever happens next."""

    def __init__(self) -> None:
        self.trials: dict[int, TrialReport] = {}

    def trial_finished(self, trial: TrialReport, samples: PlanSamples | None) -> None:
        self.trials[trial.number] = trial

    def trials_resumed(self, trials: Sequence[TrialReport]) -> None:
        self.trials |= {trial.number: trial for trial in trials}

    def state_changed(self, progress: SearchProgress) -> None: ...


def run(directory: Path, announced: Announced | None = None) -> SearchResult:
    toolchain = PretendToolchain(SMALL[:2])
    wrong = frozenset({small_space(toolchain, (1,)).layers[1].variants[-1]})
    pool = PretendPool(PretendDevice(smooth_latency(), wrong=wrong))
    measurer = DeviceMeasurer(
        MODEL, toolchain, pool, TARGET, directory, MeasureSettings(), sleep=lambda seconds: None
    )  # fmt: skip
    settings = SearchSettings(sampler="grid", plans_per_visit=2)
    return search(small_space(toolchain, (1,)), measurer, settings, directory, announced)


def calls_of_a_run(directory: Path) -> int:
    with using(disk := CrashingDisk(0, "fails")):
        run(directory)
    return disk.calls


@pytest.mark.parametrize("how", ["fails", "cut", "torn"])
def test_whatever_happens_at_any_call_nothing_that_was_announced_is_lost(tmp_path: Path, how: How) -> None:
    whole = run(tmp_path / "whole")
    variants = {pair for t in whole.trials for pair in t.plan.items()}
    count = calls_of_a_run(tmp_path / "counted")
    assert count > 15
    for at in range(1, count + 1):
        directory, announced = tmp_path / str(at), Announced()
        disk = CrashingDisk(at, how)
        with using(disk), pytest.raises((PowerCut, OSError)):
            run(directory, announced)
        if how != "fails":
            disk.lose_unsynced()
        after = Announced()
        result = run(directory, after)
        assert {number: after.trials[number] for number in announced.trials} == announced.trials, at
        # Half of a visit may be there: what is left to try is then combined to other plans.
        assert {pair for t in result.trials for pair in t.plan.items()} == variants, at
        assert [t.number for t in result.trials] == list(range(len(result.trials))), at
        assert not list(directory.glob("*.damaged")), at


class KillingDisk(Disk):
    """Kills this process when a record has reached the disk: after the n-th sync."""

    def __init__(self, at: int) -> None:
        self._left = at

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_kill_9_behind_every_record_loses_no_record(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    for at in range(1, 100):
        child = os.fork()
        if not child:
            with using(KillingDisk(at)):
                run(tmp_path / str(at))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        before = Announced()
        result = run(tmp_path / str(at), before)
        assert [t.plan for t in result.trials] == [t.plan for t in whole.trials], at
        if os.WIFEXITED(status):
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert at > 4
