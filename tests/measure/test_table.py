"""Recorded measurements, and what is replayed from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.measure.replay import ReplayMeasurer
from ellopt.measure.table import Table
from tests.support.pretend import layers, shape, smooth_latency
from tests.support.tables import MODEL_LAYERS, pretend_table


def assert_equal(a: Table, b: Table) -> None:
    for field in dataclasses.fields(Table):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if field.name == "layers_ms":
            assert x.keys() == y.keys()
            assert all(np.allclose(x[n], y[n], atol=1e-6) for n in x)
        elif field.name == "others_ms":
            assert np.allclose(x, y, atol=1e-6)
        else:
            assert x == y


def test_a_table_is_what_was_saved(tmp_path: Path) -> None:
    table = pretend_table(5, visits=2, rounds=2)
    table.save(tmp_path / "table.json")
    assert_equal(Table.load(tmp_path / "table.json"), table)


@pytest.mark.parametrize("text", ['{"format": 1}', "[", '{"format": 2}', "[1]"])
def test_what_is_no_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"table.json: not a table of measurements"):
        Table.load(tmp_path / "table.json")


def test_halves_share_no_visit_and_know_all_variants() -> None:
    table = pretend_table(0, visits=5, rounds=2)
    one, other = table.halves()
    assert one.plans == table.plans[0::2]
    assert other.plans == table.plans[1::2]
    for half in (one, other):
        assert all(half.true_ms(s.node_id, o) > 0 for s in table.space.layers for o in s.variants)


def test_slow_turns_are_told_from_slow_variants() -> None:
    table, undisturbed = (pretend_table(1, noise=0.01, slow_turns=share) for share in (0.15, 0.0))
    found = np.exp(table.disturbance)
    share = float(np.mean(found > 1.25))
    assert 0.1 < share < 0.2
    assert np.all((np.abs(found - 1) < 0.15) | (np.abs(found - 1.5) < 0.25))
    for s in table.space.layers:
        for o in s.variants:
            assert table.true_ms(s.node_id, o) == pytest.approx(undisturbed.true_ms(s.node_id, o), rel=0.3)


def test_plans_are_compared_visit_by_visit() -> None:
    table = pretend_table(2, noise=0.0, visits=5, rounds=1)
    slow = np.array([1.0, 3.0, 1.0, 3.0, 3.0]).repeat(2)
    disturbed = dataclasses.replace(
        table, layers_ms={n: ms * slow for n, ms in table.layers_ms.items()}, others_ms=table.others_ms * slow
    )
    default = table.space.default_plan
    assert disturbed.ratio(default, table.best_plan) == pytest.approx(table.ratio(default, table.best_plan))
    assert disturbed.best_plan == table.best_plan
    assert disturbed.plan_ms(default) == pytest.approx(3 * table.plan_ms(default))


def test_the_exhaustive_winner_is_the_fastest_of_every_shape() -> None:
    table = pretend_table(4, noise=0.0)
    latency = smooth_latency(4, MODEL_LAYERS)
    for s in table.space.layers:
        fastest = min(latency(s.node_id, o) for o in s.variants)
        assert latency(s.node_id, table.best_plan[s.node_id]) == pytest.approx(fastest)


def test_a_replay_gives_what_was_recorded_of_every_layer() -> None:
    table = pretend_table(0, noise=0.02)
    measurer = ReplayMeasurer(table, 1)
    plan = table.space.default_plan
    best = table.best_plan
    assert isinstance(best, Plan)
    for outcome in measurer.measure([plan, best], Schedule(rounds=4)):
        assert outcome.samples is not None
        for node_id, ms in outcome.samples.layers_ms.items():
            assert np.median(ms) == pytest.approx(table.true_ms(node_id, outcome.plan[node_id]), rel=0.06)


def test_what_disturbs_a_turn_disturbs_all_its_layers_again() -> None:
    table = pretend_table(3, noise=0.005, slow_turns=0.3)
    measurer = ReplayMeasurer(table, 1)
    (outcome,) = measurer.measure([table.best_plan], Schedule(rounds=60, turn_passes=1, slow_factor=0))
    assert outcome.samples is not None
    factors = np.array(
        [np.array(ms) / table.true_ms(n, outcome.plan[n]) for n, ms in outcome.samples.layers_ms.items()]
    )
    slow = factors > 1.25
    assert 0.1 < slow.mean() < 0.5
    # All layers of a turn are slow, or none; a few may have a disturbance of their own.
    assert np.mean(np.minimum(slow.mean(axis=0), 1 - slow.mean(axis=0))) < 0.05


def test_a_replay_counts_what_running_and_checking_take() -> None:
    table = pretend_table(0)
    plan = table.space.default_plan
    measurer = ReplayMeasurer(table, 0)
    seconds = [0.0]
    for _ in range(2):
        measurer.measure([plan], Schedule(rounds=1, warm_up=0))
        seconds.append(measurer.costs.board_seconds)
    first, second = np.diff(seconds)
    passes = 2 * table.plan_ms(plan) / 1000
    assert second == pytest.approx(table.run_seconds + passes, rel=0.2)
    assert first == pytest.approx(second + table.check_seconds, rel=0.1)
    assert measurer.costs.runs == 2


def test_a_replay_counts_the_passes_in_which_weights_settle() -> None:
    table = pretend_table(0, noise=0.001, model_layers=layers(shape(256, 256, size=8)))
    (layer,) = table.space.layers
    unrolled, one, other = (Plan.of({layer.node_id: ConvolutionOptions.parse(t)}) for t in (
        "unrolled", "winograd f1 c1", "winograd f2 c1",
    ))  # fmt: skip

    def seconds(plans: list[Plan], settle: bool) -> float:
        measurer = ReplayMeasurer(table, 0)
        measurer.check(plans)
        before = measurer.costs.board_seconds
        measurer.measure(plans, Schedule(turn_warm_up=0, settle=settle))
        return measurer.costs.board_seconds - before

    assert seconds([one, other], settle=True) == pytest.approx(seconds([one, other], settle=False), rel=0.02)
    # Five rounds, in each of which 2 and 4 MiB of weights settle.
    waited = 5 * (2 * table.plan_ms(unrolled) + 4 * table.plan_ms(one)) / 1000
    expected = seconds([unrolled, one], settle=False) + waited
    assert seconds([unrolled, one], settle=True) == pytest.approx(expected, rel=0.02)


def test_spoiled_samples_are_slower() -> None:
    table = pretend_table(0, noise=0.005)
    (outcome,) = ReplayMeasurer(table, 0, spoiled=0.3).measure([table.best_plan], Schedule(rounds=40))
    assert outcome.samples is not None
    factors = [v / table.true_ms(n, outcome.plan[n]) for n, values in outcome.samples.layers_ms.items() for v in values]
    assert 0.2 < np.mean(np.array(factors) > 1.5) < 0.4
