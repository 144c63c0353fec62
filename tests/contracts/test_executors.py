"""What every executor of the registry does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.measure.executors import EXECUTORS, make_executor
from ellopt.measure.executors.base import Executor, Steps, result_of, start

CAPACITY = 3


@dataclass
class Site:
    """Counts tasks at work."""

    lock: threading.Lock
    at_once: int = 0
    most: int = 0


@dataclass(frozen=True)
class Double:
    number: int

    def run(self, site: Site) -> int:
        with site.lock:
            site.at_once += 1
            site.most = max(site.most, site.at_once)
        try:
            if self.number < 0:
                raise InfrastructureError(f"cannot double {self.number}")
            return 2 * self.number
        finally:
            with site.lock:
                site.at_once -= 1


@pytest.fixture(params=sorted(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> Iterator[Executor[Site]]:
    made = make_executor(request.param, Site(threading.Lock()), CAPACITY)
    yield made
    made.rest()


def test_a_task_yields_its_result_or_its_error(executor: Executor[Site]) -> None:
    assert executor.submit(Double(4)).result(10) == 8
    with pytest.raises(InfrastructureError, match="cannot double -1"):
        executor.submit(Double(-1)).result(10)


def test_it_is_of_use_after_a_rest_and_holds_no_thread_meanwhile(executor: Executor[Site]) -> None:
    before = set(threading.enumerate())
    for _ in range(2):
        assert [future.result(10) for future in [executor.submit(Double(n)) for n in range(20)]] == [*range(0, 40, 2)]
        executor.rest()
        assert set(threading.enumerate()) <= before


def test_steps_go_on_with_results_and_with_errors(executor: Executor[Site]) -> None:
    def steps(number: int) -> Steps[str]:
        doubled = yield from result_of(Double(number))
        try:
            yield from result_of(Double(-doubled))
        except InfrastructureError as error:
            again = yield from result_of(Double(doubled))
            return f"{error}, {again}"
        return "not reached"

    found = [start(steps(number), executor) for number in range(1, 9)]
    assert [f.result(10) for f in found] == [f"cannot double {-2 * n}, {4 * n}" for n in range(1, 9)]


def test_what_steps_raise_is_what_their_future_raises(executor: Executor[Site]) -> None:
    def steps() -> Steps[None]:
        yield from result_of(Double(1))
        raise ConfigurationError("no more")

    with pytest.raises(ConfigurationError, match="no more"):
        start(steps(), executor).result(10)


def test_no_more_is_under_way_than_its_capacity() -> None:
    for name in EXECUTORS:
        site = Site(threading.Lock())
        executor = make_executor(name, site, CAPACITY)
        assert executor.capacity == CAPACITY
        for future in [executor.submit(Double(n)) for n in range(200)]:
            future.result(10)
        executor.rest()
        assert 1 <= site.most <= CAPACITY


def test_an_executor_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no executor 'cluster'; there are inline, threads"):
        make_executor("cluster", None, 1)
