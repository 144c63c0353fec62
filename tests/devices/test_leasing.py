"""Pools: who gets a board, when, and what becomes of boards that fail."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.pool.fixed import FixedHolding, FixedSource
from ellopt.devices.pool.leasing import Pace, Pool
from ellopt.devices.pool.sources import BoardFailed, Holding
from ellopt.devices.replay import ReplayDevice, ReplayPool
from tests.support.patience import SOON

QUICK = Pace(first_rest=0.05, longest_rest=0.4, shortest_pause=0.01, longest_pause=0.05)


def fine(bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
    return Execution(0, "", "", {}, 0.0)


class Flaky(FixedSource):
    """Boards that cannot be reached while they are in ``away``."""

    def __init__(self, count: int) -> None:
        super().__init__([ReplayDevice(fine, f"board {i}") for i in range(count)])
        self.away: set[str] = set()
        self.final = False
        self.attempts: list[tuple[str, float]] = []

    def acquire(self, avoid: frozenset[str], deadline: Deadline) -> FixedHolding | None:
        holding = super().acquire(avoid, deadline)
        if holding is not None:
            self.attempts.append((holding.name, time.monotonic()))
            if holding.name in self.away:
                self.give_back(holding.device)
                raise BoardFailed(holding.name, f"{holding.name} is away", self.final)
        return holding


def test_no_board_is_used_by_two_and_every_lease_is_served() -> None:
    in_use: Counter[str] = Counter()
    most = 0
    lock = threading.Lock()
    generator = random.Random(3)

    def work(pool: Pool) -> None:
        nonlocal most
        while True:
            try:
                with pool.lease(Deadline.after(20)) as device:
                    with lock:
                        in_use[device.name] += 1
                        assert in_use[device.name] == 1
                        most = max(most, in_use.total())
                        fails = generator.random() < 0.1
                    time.sleep(0.0005)
                    with lock:
                        in_use[device.name] -= 1
                    if fails:
                        raise InfrastructureError("dropped")
                    return
            except InfrastructureError as error:
                if str(error) != "dropped":
                    raise

    with ReplayPool(fine, count=5, pace=QUICK) as pool, ThreadPoolExecutor(20) as executor:
        for future in [executor.submit(work, pool) for _ in range(400)]:
            future.result(30)
        report = pool.report()
    assert most <= 5
    assert report.leases == 400 + report.retries
    assert report.retries > 5


def test_a_failing_board_rests_for_a_growing_time() -> None:
    source = Flaky(2)
    source.away = {"board 0"}
    with Pool(source, 2, 5.0, QUICK) as pool, pool.lease(Deadline.after(60)) as device:
        assert device.name == "board 1"
        with pytest.raises(DeadlineExceeded), pool.lease(Deadline.after(1.5)):
            pass
        times = [at for name, at in source.attempts if name == "board 0"]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(gaps) >= 2
        assert gaps[-1] > 2 * gaps[0]
        assert pool.report().set_aside == {"board 0": "board 0 is away"}


def test_one_board_that_comes_back_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    source = Flaky(1)
    source.away = {"board 0"}
    threading.Timer(0.4, source.away.clear).start()
    with Pool(source, 1, 500.0, QUICK) as pool, pool.lease(Deadline.never()) as device:
        assert device.name == "board 0"
    assert len(source.attempts) > 3
    assert pool.report().set_aside == {}, "it works again"
    assert "board 0 is away; there is no other board, so it is tried again for 500 s" in caplog.messages


def test_of_several_boards_one_that_fails_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    source = Flaky(2)
    source.away = {"board 0"}
    with Pool(source, 1, 500.0, QUICK) as pool, pool.lease(Deadline.never()):
        pass
    assert [text for text in caplog.messages if text.startswith("board 0 is away; set aside for 0.")]


def test_the_only_board_s_trouble_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    source = Flaky(1)
    source.away = {"board 0"}
    with (
        Pool(source, 1, 0.5, QUICK) as pool,
        pytest.raises(DeadlineExceeded, match=r"\(--board_timeout\): board 0 is away$"),
        pool.lease(Deadline.never()),
    ):
        pass
    assert len(source.attempts) > 2
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_what_ends_as_an_error_is_no_warning_before(caplog: pytest.LogCaptureFixture) -> None:
    source = Flaky(1)
    source.away, source.final = {"board 0"}, True
    with (
        Pool(source, 1, 500.0, QUICK) as pool,
        pytest.raises(ConfigurationError, match="board 0 is away"),
        pool.lease(Deadline.never()),
    ):
        pass
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_waiting_for_boards_is_bounded_by_the_board_timeout() -> None:
    source = Flaky(2)
    source.away = {"board 0", "board 1"}
    started = time.monotonic()
    with (
        Pool(source, 2, 0.3, QUICK) as pool,
        pytest.raises(DeadlineExceeded, match=r"--board_timeout.*board 0 is away"),
        pool.lease(Deadline.never()),
    ):
        pass
    assert 0.3 < time.monotonic() - started < SOON


def test_waiting_while_others_work_is_not_bounded_by_the_board_timeout() -> None:
    with ReplayPool(fine, pace=QUICK) as pool:
        pool.board_timeout = 0.1
        with ThreadPoolExecutor(1) as executor:
            with pool.lease(Deadline.after(60)):
                waiting = executor.submit(lambda: pool.lease(Deadline.after(60)).__enter__().name)
                time.sleep(0.5)
                assert not waiting.done()
            assert waiting.result(SOON) == "replay 1"


def test_boards_that_refuse_for_good_are_not_tried_again() -> None:
    source = Flaky(2)
    source.away, source.final = {"board 0", "board 1"}, True
    with (
        Pool(source, 2, 60.0, QUICK) as pool,
        pytest.raises(ConfigurationError, match=r"board 0 is away; board 1 is away"),
        pool.lease(Deadline.never()),
    ):
        pass
    assert [name for name, _ in source.attempts] == ["board 0", "board 1"]


def test_a_source_that_does_not_answer_is_asked_again() -> None:
    class Down(FixedSource):
        asked = 0

        def acquire(self, avoid: frozenset[str], deadline: Deadline) -> FixedHolding | None:
            self.asked += 1
            if self.asked < 4:
                raise InfrastructureError("the service is down")
            return super().acquire(avoid, deadline)

    source = Down([ReplayDevice(fine)])
    with Pool(source, 1, 5.0, QUICK) as pool, pool.lease(Deadline.never()):
        assert source.asked == 4
    with (
        Pool(Down([ReplayDevice(fine)]), 1, 0.02, QUICK) as pool,
        pytest.raises(DeadlineExceeded, match="service is down"),
        pool.lease(Deadline.never()),
    ):
        pass


def test_a_bug_while_acquiring_leaks_nothing() -> None:
    class Broken(FixedSource):
        broken = True

        def acquire(self, avoid: frozenset[str], deadline: Deadline) -> FixedHolding | None:
            if self.broken:
                raise ZeroDivisionError
            return super().acquire(avoid, deadline)

    source = Broken([ReplayDevice(fine)])
    with Pool(source, 1, 5.0, QUICK) as pool:
        with pytest.raises(ZeroDivisionError), pool.lease(Deadline.after(60)):
            pass
        source.broken = False
        with pool.lease(Deadline.after(60)):
            pass


class Slow(ReplayDevice):
    """Runs until it is aborted."""

    def __init__(self) -> None:
        super().__init__(self._hang)
        self.aborted = threading.Event()

    def _hang(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        if not self.aborted.wait(20):
            raise AssertionError("nobody aborted the run")
        raise InfrastructureError("stopped")

    def abort(self) -> None:
        self.aborted.set()


def test_closing_ends_what_runs_and_what_waits(tmp_path: object) -> None:
    pool = Pool(FixedSource([Slow()]), 1, 5.0, QUICK)

    def work() -> None:
        with pool.lease(Deadline.after(20)) as device:
            device.run(None, None, Deadline.never())  # type: ignore[arg-type]

    with ThreadPoolExecutor(3) as executor:
        futures = [executor.submit(work) for _ in range(3)]
        time.sleep(0.1)
        started = time.monotonic()
        pool.close()
        assert time.monotonic() - started < SOON
        for future in futures:
            assert isinstance(future.exception(SOON), InfrastructureError)
    pool.close()
    with pytest.raises(InfrastructureError, match="closed"), pool.lease(Deadline.after(1)):
        pass


def test_an_idle_board_of_a_shared_source_is_given_back() -> None:
    class Shared(FixedSource):
        shared = True

        def __init__(self) -> None:
            super().__init__([ReplayDevice(fine, f"board {i}") for i in range(2)])
            self.returned: list[str] = []

        def give_back(self, device: ReplayDevice) -> None:  # type: ignore[override]
            self.returned.append(device.name)
            super().give_back(device)

    source = Shared()
    with Pool(source, 2, 5.0, Pace(idle=2.0)) as pool:
        with pool.lease(Deadline.after(60)), pool.lease(Deadline.after(60)):
            pass
        assert source.returned == []
        for _ in range(3):
            time.sleep(1.0)
            with pool.lease(Deadline.after(60)):
                pass
        assert len(source.returned) == 1


def test_an_idle_board_is_given_back_while_nobody_leases() -> None:
    given_back = threading.Event()

    class Shared(FixedSource):
        shared = True

        def give_back(self, device: Device) -> None:
            super().give_back(device)
            given_back.set()

    with Pool(Shared([ReplayDevice(fine, "board")]), 1, 5.0, Pace(idle=1.5)) as pool:
        with pool.lease(Deadline.after(60)):
            assert not given_back.is_set()
        assert not given_back.is_set(), "it may be wanted again at once"
        assert given_back.wait(SOON), "while its user builds variants, others may have it"
        with pool.lease(Deadline.after(60)) as device:
            assert device.name == "board"


def test_a_lost_board_is_replaced_by_another() -> None:
    class Lost(FixedHolding):
        def still_ours(self) -> bool:
            return False

    class Source(FixedSource):
        def acquire(self, avoid: frozenset[str], deadline: Deadline) -> Holding | None:  # type: ignore[override]
            holding = super().acquire(avoid, deadline)
            return Lost(holding.device, self) if holding and holding.name == "board 0" else holding

    with Pool(Source([ReplayDevice(fine, f"board {i}") for i in range(2)]), 1, 5.0, QUICK) as pool:
        names = []
        for _ in range(3):
            with pool.lease(Deadline.after(60)) as device:
                names.append(device.name)
    assert names == ["board 0", "board 1", "board 1"]
