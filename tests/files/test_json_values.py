"""What is read back has the types that were asked for, or a ValueError says where it has not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.files.json_values import decode, parse_object


@dataclass(frozen=True)
class Inner:
    name: str
    ms: float
    count: int = 0


@dataclass(frozen=True)
class Outer:
    inner: Inner
    several: tuple[Inner, ...]
    pair: tuple[int, str]
    by_name: Mapping[str, float | None] = field(default_factory=dict)
    word: Literal["a", "b"] = "a"
    either: int | str | None = None
    flag: bool = False


_INNER = st.builds(Inner, st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**62), 2**62))
_OUTER = st.builds(
    Outer,
    _INNER,
    st.lists(_INNER, max_size=3).map(tuple),
    st.tuples(st.integers(-9, 9), st.text(max_size=3)),
    st.dictionaries(st.text(max_size=3), st.none() | st.floats(-9, 9), max_size=3),
    st.sampled_from(["a", "b"]),
    st.none() | st.integers(-9, 9) | st.text(max_size=3),
    st.booleans(),
)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(_OUTER)
def test_a_dataclass_comes_back_as_it_was(value: Outer) -> None:
    assert decode(Outer, json.loads(json.dumps(asdict(value)))) == value


@given(_OUTER, st.sampled_from(["inner", "several", "pair", "by_name", "word", "either", "flag"]), _ANYTHING)
def test_another_value_is_of_the_right_type_or_an_error(value: Outer, key: str, other: Any) -> None:
    data = json.loads(json.dumps(asdict(value))) | {key: other}
    try:
        read = decode(Outer, data)
        said = ""
    except ValueError as error:
        said = str(error)
    if said:
        assert key in said
    else:
        assert decode(Outer, json.loads(json.dumps(asdict(read)))) == read


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inner": {"name": "x"}}, "inner: 'ms' is missing"),
        ({"inner": {"name": "x", "ms": True}}, r"inner\.ms: a finite number expected, not True"),
        ({"several": [{"name": 1, "ms": 2}]}, r"several\[0\]\.name: str expected, not 1"),
        ({"pair": [1]}, "pair: a list of 2 expected"),
        ({"surprise": 1}, "unknown key 'surprise'"),
    ],
)
def test_the_place_is_named(change: dict[str, Any], said: str) -> None:
    data = {"inner": {"name": "x", "ms": 1}, "several": [], "pair": [1, "x"]}
    with pytest.raises(ValueError, match=said):
        decode(Outer, data | change)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"1e999", b"NaN", b'{"a":', b"\xff", b"", b'"\\ud800"', b"[]"])
def test_what_is_no_object_or_beyond_bounds_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_object(text)
