"""The same done with several things side by side."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.fan_out import fan_out
from tests.support.patience import SOON


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(0, 5))
def test_results_are_in_the_order_of_the_items(items: list[int], workers: int) -> None:
    assert fan_out(lambda item: 3 * item, items, workers) == [3 * item for item in items]


def test_as_many_work_as_may_and_no_more() -> None:
    together = threading.Barrier(3)
    assert fan_out(lambda item: together.wait(SOON) >= 0, range(9), 3) == [True] * 9


def test_a_failure_ends_those_that_have_begun_and_those_that_have_not_never_do() -> None:
    begun: list[int] = []
    ended, both = threading.Event(), threading.Barrier(2)

    def work(item: int) -> None:
        begun.append(item)
        if item < 2:
            both.wait(SOON)
        if item == 0:
            raise ValueError("no")
        assert ended.wait(SOON)

    with pytest.raises(ValueError, match="no"):
        fan_out(work, range(20), 2, ended.set)
    assert sorted(begun)[:2] == [0, 1]
    assert len(begun) <= 3


def test_one_item_needs_no_thread() -> None:
    assert fan_out(lambda item: threading.current_thread(), [1], 4) == [threading.current_thread()]


@pytest.mark.parametrize(("items", "workers"), [([], 3), ([1], 3), ([1, 2], 1)])
def test_what_is_done_meanwhile_is_done_once_where_nobody_else_works(items: list[int], workers: int) -> None:
    done: list[threading.Thread] = []
    assert fan_out(abs, items, workers, meanwhile=lambda: done.append(threading.current_thread())) == items
    assert done == [threading.current_thread()]


def test_what_is_done_meanwhile_is_done_here_while_others_work() -> None:
    together = threading.Barrier(3)

    def wait(_: object = None) -> None:
        together.wait(SOON)

    assert fan_out(wait, [1, 2], 2, meanwhile=wait) == [None, None]


def test_a_failure_meanwhile_ends_the_others_too() -> None:
    ended = threading.Event()

    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        fan_out(lambda item: ended.wait(SOON), [1, 2, 3], 2, ended.set, fail)
    assert ended.is_set()
