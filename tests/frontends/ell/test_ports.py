"""The text form of what a port reads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.frontends.ell.ports import PortRange, parse_port_elements, whole_output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1033.output", (PortRange("1033", "output"),)),
        (" 1033.output[4] ", (PortRange("1033", "output", 4, 5),)),
        ("1033.output[0:16]", (PortRange("1033", "output", 0, 16),)),
        ("{1.output, 2.output[3:5]}", (PortRange("1", "output"), PortRange("2", "output", 3, 5))),
    ],
)
def test_references(text: str, expected: tuple[PortRange, ...]) -> None:
    assert parse_port_elements(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1033", "1033.", ".output", "1.output[", "1.output[1:2:3]", "{1.output,}", "a b.c"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_port_elements(text)


@given(cuts=st.sets(st.integers(1, 29)))
def test_pieces_that_follow_each_other_are_the_whole(cuts: set[int]) -> None:
    bounds = [0, *sorted(cuts), 30]
    text = ",".join(f"7.output[{a}:{b}]" for a, b in pairwise(bounds))
    assert whole_output(parse_port_elements(f"{{{text}}}"), 30) == "7"
    assert whole_output(parse_port_elements(f"{{{text}}}"), 31) is None


@pytest.mark.parametrize(
    "text", ["7.output[0:29]", "7.output[1:30]", "{7.output, 8.output}", "7.other", "7.output[5:5]"]
)
def test_anything_else_is_not(text: str) -> None:
    assert whole_output(parse_port_elements(text), 30) is None
