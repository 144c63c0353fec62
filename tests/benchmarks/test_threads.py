"""The benchmark of what threads gain: its arithmetic, and what it says where a model was not tuned."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.threads import Passes, Turn, gains, main, together
from ellopt.core.plan import Plan
from ellopt.deploy.times import BenchResult


def turn(samples: tuple[float, ...], first: tuple[float, ...], round_trip: float = 80) -> Turn:
    return Turn(BenchResult("a", samples, 2, 1, 1, Plan.of({}), first), round_trip)


def test_turns_are_one_and_the_longest_first_pass_is_not_the_very_first() -> None:
    turns = [turn((1, 2, 3), (9, 2, 4)), turn((4, 5, 100), (9, 2, 6))]
    [found] = together("a", 2, turns, 200)
    assert (found.lowest_ms, found.median_ms, found.first_ms) == (1, 3.5, 5)
    assert 95 < found.p99_ms < 100
    assert found.unevenness == found.p99_ms / 3.5


def test_turns_on_cores_far_from_each_other_have_their_own_row() -> None:
    turns = [turn((1,), ()), turn((3,), (), 430)]
    near, far = together("a", 2, turns, 200)
    assert (near.far, near.median_ms, far.far, far.median_ms) == (False, 1, True, 3)
    assert len(together("a", 1, turns, 200)) == 1, "one thread is far from none"


def test_gains_are_those_against_one_thread_of_the_same_model() -> None:
    def passes(model: str, threads: int, lowest: float, median: float) -> Passes:
        return Passes(model, threads, lowest, median, 2 * median, 0)

    rows = [passes("a", 1, 4, 6), passes("a", 2, 2, 4), passes("b", 2, 1, 1)]
    alone, two = gains(rows)
    assert (alone.lowest, alone.median) == (1, 1)
    assert (two.passes.model, two.lowest, two.median) == ("a", 2, 1.5)
    assert two.to_json()["gain_median"] == 1.5


def test_a_model_that_was_not_tuned_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"face.*benchmarks\.peers"):
        main(["face", "--tuned", str(tmp_path)])
