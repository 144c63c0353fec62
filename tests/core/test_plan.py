"""Plans that are composed of rows of options, and of other plans."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan

OPTIONS = [ConvolutionOptions("winograd", False, 0, depth, 1) for depth in range(1, 7)]
ROWS = st.dictionaries(
    st.text("abc", min_size=1, max_size=2), st.lists(st.sampled_from(OPTIONS), min_size=1, max_size=6), min_size=1
)


@given(ROWS)
def test_covering_plans_have_every_row_in_its_order_and_then_again(rows: dict[str, list[ConvolutionOptions]]) -> None:
    plans = Plan.covering(rows)
    assert len(plans) == max(map(len, rows.values()))
    for node_id, row in rows.items():
        assert [plan[node_id] for plan in plans] == (row * len(plans))[: len(plans)]
        assert all(list(plan) == list(rows) for plan in plans)


@given(ROWS, st.sampled_from(OPTIONS))
def test_covering_plans_with_a_rest_go_on_with_it(
    rows: dict[str, list[ConvolutionOptions]], options: ConvolutionOptions
) -> None:
    rest = Plan.uniform(list(rows), options)
    plans = Plan.covering(rows, rest)
    assert len(plans) == max(map(len, rows.values()))
    for node_id, row in rows.items():
        assert [plan[node_id] for plan in plans] == row + [options] * (len(plans) - len(row))


def test_covering_plans_have_options_of_one_precision_together() -> None:
    """Beside a layer in float16 others are, too, as far as they can; what cannot goes through its row again."""
    plain, half = ConvolutionOptions("unrolled"), ConvolutionOptions("unrolled", precision="float16")
    rows = {"a": [*OPTIONS[:3], half], "b": [plain, half, replace(OPTIONS[0], precision="float16")], "c": OPTIONS[:2]}
    plans = Plan.covering(rows)
    assert [plan["a"] for plan in plans] == [*OPTIONS[:3], half, half]
    assert [plan["b"] for plan in plans] == [plain, plain, plain, *rows["b"][1:]]
    assert [plan["c"] for plan in plans] == [*OPTIONS[:2], OPTIONS[0], *OPTIONS[:2]]
    assert [plan["c"] for plan in Plan.covering(rows, Plan.uniform(list(rows), plain))][2:] == [plain] * 3


def test_no_rows_make_no_plans() -> None:
    assert Plan.covering({}) == ()
    assert Plan.covering({"a": []}, Plan.uniform(["a"], OPTIONS[0])) == ()


@given(ROWS, ROWS)
def test_layers_are_replaced_and_the_order_stays(
    rows: dict[str, list[ConvolutionOptions]], others: dict[str, list[ConvolutionOptions]]
) -> None:
    plan = Plan.of({node_id: row[0] for node_id, row in rows.items()})
    choices = {node_id: row[-1] for node_id, row in others.items()}
    changed = plan.with_all(choices)
    assert list(changed) == list(plan)
    assert dict(changed) == {**plan, **{n: o for n, o in choices.items() if n in plan}}
