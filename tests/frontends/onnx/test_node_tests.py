"""The node tests that the onnx package ships, for every operator that is read: each passes or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.node_tests import HEAD, PAGE, all_outcomes, cases, outcome, table

Outcomes = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return all_outcomes(tmp_path_factory.mktemp("nodes") / "node.onnx")


def test_none_is_wrong(outcomes: Outcomes) -> None:
    assert [name for name, (_, found) in outcomes.items() if found == "wrong"] == []


def test_most_pass_and_the_table_of_the_documentation_counts_them(outcomes: Outcomes) -> None:
    passed = sum(found == "passed" for _, found in outcomes.values())
    assert passed >= 360
    assert len(outcomes) - passed <= 60
    text = PAGE.read_text(encoding="utf-8")
    assert text[text.index(HEAD) :] == table(outcomes), "write it anew: python -m tests.support.node_tests"
    assert f"Of {len(outcomes)} tests {passed} pass" in " ".join(text.split())


def test_products_of_computed_matrices(tmp_path: Path) -> None:
    found = {
        case.name: outcome(case, tmp_path / "node.onnx", ())
        for case in cases()
        if case.model.graph.node[0].op_type in ("MatMul", "Gemm")
    }
    assert len(found) > 10
    assert {name for name, what in found.items() if what != "passed"} == set()
