"""What can become of a file: bytes that are damaged, and well-formed JSON that nobody wrote."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

#: values that a reader does not expect where they stand
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, 10**9, 2**63, 0.5, -0.0, 1e308, -1e308, 5e-324),
        *("", "x", "²", "winograd s²", "winograd t7 g?", "nan", "\x00", "../../x", "é" * 300),
        *([], {}, [None], [[]], {"": None}, {"x": {"x": []}}, [1, "x", None]),
    ]
)


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` with bytes changed, cut off, lost, doubled or replaced by zeros."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 64))
        what = draw(st.sampled_from(["flip", "cut", "lose", "double", "zeros", "rubbish"]))
        if what == "cut":
            content = content[:at]
        elif what == "double":
            content = content[:at] + content[max(0, at - length) :]
        else:
            middle = {
                "flip": bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in content[at : at + 1]),
                "lose": b"",
                "zeros": bytes(length),
                "rubbish": draw(st.binary(max_size=8)),
            }[what]
            content = content[:at] + middle + content[at + (1 if what == "flip" else length) :]
    return content


@st.composite
def altered_json(draw: st.DrawFn, value: Any) -> Any:
    """``value`` with one place in it replaced, removed, added to or exchanged with another."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return draw(ODD)
    holder, key = draw(st.sampled_from(places))
    what = draw(st.sampled_from(["replace", "replace", "remove", "add", "exchange"]))
    if what == "remove":
        del holder[key]
    elif what == "add":
        if isinstance(holder, dict):
            holder[draw(st.text(max_size=3))] = draw(ODD)
        else:
            holder.insert(key, draw(ODD))
    elif what == "exchange":
        other, at = draw(st.sampled_from(places))
        holder[key] = copy.deepcopy(other[at])
    else:
        holder[key] = draw(ODD)
    return value


def _places(value: Any) -> Any:
    """Every (holder, key or index) in a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)
