"""JSON from outside: equal to what the standard library reads, or refused before it costs anything."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.files.json_text import JsonLimitError, JsonLimits, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{},"\\a\n', max_size=4), inner, max_size=4),
    max_leaves=30,
)  # fmt: skip


def depth(value: object) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth, children), default=0)


def containers(value: object) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + sum(map(containers, children))


@given(VALUES, st.booleans())
def test_what_is_within_the_limits_is_read_as_it_is(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    limits = JsonLimits(depth=depth(value), containers=containers(value))
    assert parse_json(text, limits) == json.loads(text)
    assert parse_json(text.encode(), limits) == json.loads(text)


@given(VALUES.filter(lambda value: isinstance(value, list | dict)))
def test_the_limits_are_exact(value: object) -> None:
    text = json.dumps(value)
    with pytest.raises(JsonLimitError, match="nested"):
        parse_json(text, JsonLimits(depth=depth(value) - 1))
    with pytest.raises(JsonLimitError, match="objects and lists"):
        parse_json(text, JsonLimits(containers=containers(value) - 1))


@given(st.binary(max_size=60) | st.text('[]{},:"\\1ae', max_size=60).map(str.encode))
def test_whatever_the_bytes_are_there_is_a_value_or_a_value_error(content: bytes) -> None:
    try:
        expected = json.loads(content.decode("utf-8"), parse_constant=lambda word: pytest.fail(word))
    except ValueError:
        with pytest.raises(ValueError):
            parse_json(content)
    else:
        assert parse_json(content) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested"),
        (b"[" + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"]", "nested"),
        (b"[" + b"[]," * 20_000_000 + b"[]]", "objects and lists"),
        (b"[" + b"0.5," * 20_000_000 + b"1]", "values"),
    ],
)
def test_a_bomb_costs_no_more_than_its_text(content: bytes, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(JsonLimitError, match=message):
            parse_json(content)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(content) + (16 << 20)
    finally:
        tracemalloc.stop()
