"""What every executor of the registry does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.measure.executors import EXECUTORS, make_executor
from ellopt.measure.executors.base import Executor, Steps, result_of, start
from tests.support.executors import Double, Most, Site, place_for

CAPACITY = 3


@pytest.fixture(scope="module", params=sorted(EXECUTORS))
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor[Site]]:
    with place_for(request.param, tmp_path_factory.mktemp("place"), CAPACITY) as (site, own):
        made = make_executor(request.param, site, CAPACITY, own)
        assert made.submit(Double(1)).result(60) == 2  # whatever a connection needs for good is there afterwards
        made.rest()
        yield made
        made.rest()


def test_a_task_yields_its_result_or_its_error(executor: Executor[Site]) -> None:
    assert executor.submit(Double(4)).result(30) == 8
    with pytest.raises(InfrastructureError, match="cannot double -1"):
        executor.submit(Double(-1)).result(30)


def test_it_is_of_use_after_a_rest_and_holds_no_thread_meanwhile(executor: Executor[Site]) -> None:
    before = set(threading.enumerate())
    for _ in range(2):
        assert [future.result(30) for future in [executor.submit(Double(n)) for n in range(20)]] == [*range(0, 40, 2)]
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
    assert [f.result(30) for f in found] == [f"cannot double {-2 * n}, {4 * n}" for n in range(1, 9)]


def test_what_steps_raise_is_what_their_future_raises(executor: Executor[Site]) -> None:
    def steps() -> Steps[None]:
        yield from result_of(Double(1))
        raise ConfigurationError("no more")

    with pytest.raises(ConfigurationError, match="no more"):
        start(steps(), executor).result(30)


def test_no_more_is_under_way_than_its_capacity(executor: Executor[Site]) -> None:
    assert executor.capacity == CAPACITY
    for future in [executor.submit(Double(n)) for n in range(200)]:
        future.result(30)
    assert 1 <= executor.submit(Most()).result(30) <= CAPACITY


def test_an_executor_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no executor 'cluster'; there are inline, threads, dask"):
        make_executor("cluster", None, 1)
