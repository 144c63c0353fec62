"""What a search tells of boards that fail."""

from __future__ import annotations

from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.replay import ReplayPool
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.search.driver import search
from ellopt.search.observer import SearchProgress, Silent
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from tests.support.pretend import AT_ONCE, MODEL, TARGET, PretendDevice, PretendToolchain, small_space, smooth_latency


class Watcher(Silent):
    """Remembers how many boards were set aside at each step."""

    def __init__(self) -> None:
        self.set_aside: list[int] = []

    def state_changed(self, progress: SearchProgress) -> None:
        self.set_aside.append(progress.boards_set_aside)


class Board:
    """Fails its first ``failures`` runs."""

    def __init__(self, failures: float) -> None:
        self.failures = failures
        self.device = PretendDevice(smooth_latency())

    def __call__(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        if self.failures > 0:
            self.failures -= 1
            raise InfrastructureError("the connection was reset")
        return self.device.run(bundle, invocation, deadline)


def searched(directory: Path, rest: float, *boards: Board) -> tuple[SearchResult, list[int]]:
    toolchain = PretendToolchain()
    space = small_space(toolchain, (1, 2, 4, 8))
    watcher = Watcher()
    pace = Pace(first_rest=rest, longest_rest=rest, shortest_pause=0.01, longest_pause=rest)
    with ReplayPool(*boards, pace=pace) as pool:
        measurer = DeviceMeasurer(MODEL, toolchain, pool, TARGET, directory, AT_ONCE)
        settings = SearchSettings(sampler="grid", plans_per_visit=2)
        return search(space, measurer, settings, directory, watcher), watcher.set_aside


def test_a_board_that_never_works_is_reported_with_the_reason(tmp_path: Path) -> None:
    result, shown = searched(tmp_path, 60.0, Board(float("inf")), Board(0))
    assert result.boards.set_aside == {"replay 1": "the connection was reset"}
    assert shown[-1] == 1


def test_a_board_that_recovered_is_set_aside_no_longer(tmp_path: Path) -> None:
    result, shown = searched(tmp_path, 0.02, Board(1))
    assert max(shown) == 1
    assert shown[-1] == 0
    assert result.boards.set_aside == {}
    assert result.boards.failures == ("the connection was reset",)
