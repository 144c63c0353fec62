"""Where visits can wait for their board at the place where that is, a search has some wait there, but not its first."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ellopt.measure.executors import EXECUTORS, ExecutorRow
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.site import MeasureSite
from ellopt.measure.visit import VisitTask
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from tests.support.patience import SOON
from tests.support.pretend import PretendDevice, PretendToolchain, small_space, smooth_latency
from tests.support.pretend_measurer import pretend_measurer

BOARDS, AHEAD, HELD = 2, 3, 4


class Held:
    """Runs tasks on two boards in threads. The first visit, and those from number HELD on, wait
    until as many are under way as may be."""

    capacity, ahead, at_once = BOARDS, AHEAD, False
    made: Held

    def __init__(self, site: MeasureSite, capacity: int) -> None:
        Held.made = self
        self.site = site
        self.threads = ThreadPoolExecutor(BOARDS)
        self.lock = threading.Condition()
        self.begun = self.under_way = self.most = 0
        self.most_at_first = 0

    def submit(self, task: Any) -> Future[Any]:
        if isinstance(task, VisitTask):
            with self.lock:
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                self.lock.notify_all()
        return self.threads.submit(self.run, task)

    def run(self, task: Any) -> Any:
        if not isinstance(task, VisitTask):
            return task.run(self.site)
        with self.lock:
            self.begun += 1
            if self.begun == 1 or self.begun >= HELD:
                enough = BOARDS if self.begun == 1 else BOARDS + AHEAD
                self.lock.wait_for(lambda: self.most >= enough, SOON)
        try:
            return task.run(self.site)
        finally:
            with self.lock:
                self.most_at_first = self.most_at_first or self.most
                self.under_way -= 1

    def rest(self) -> None:
        """Threads are daemons of the test."""


def test_visits_wait_ahead_once_the_first_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "held", ExecutorRow(f"{__name__}:Held"))
    toolchain = PretendToolchain()
    device = PretendDevice(smooth_latency())
    limits = MeasureSettings(visit_spacing=0.0, executor="held")
    measurer = pretend_measurer(device, toolchain=toolchain, directory=tmp_path, settings=limits, capacity=BOARDS)
    settings = SearchSettings(sampler="random", trials=20, plans_per_visit=1)
    search(small_space(toolchain, (1, 4)), measurer, settings, tmp_path / "search")
    assert (Held.made.most_at_first, Held.made.most) == (BOARDS, BOARDS + AHEAD)
    assert measurer.status().boards_total == BOARDS
    Held.made.threads.shutdown()
