"""JSON from outside, bounded before it is parsed: parsed objects cost memory that the text does not show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson


@dataclass(frozen=True)
class JsonLimits:
    """What a text may ask for. Parsed, an object or list costs up to 250 bytes and a number 32."""

    depth: int = 100
    containers: int = 1_000_000  # objects and lists
    values: int = 5_000_000


#: A model's weights are numbers by the million.
MODEL_LIMITS = JsonLimits(values=160_000_000)
#: Everything that is not a model.
DEFAULT_LIMITS = JsonLimits()

_ESCAPES = re.compile(rb"\\.", re.DOTALL)
_STRINGS = re.compile(rb'"[^"]*"?')
_OTHER_BYTES = bytes(sorted(set(range(256)) - set(b'"[]{},')))


class JsonLimitError(ValueError):
    """A text asks for more than its limits."""


def parse_json(content: bytes | bytearray | str, limits: JsonLimits = DEFAULT_LIMITS) -> Any:
    """The value that ``content`` stands for. NaN and infinities are refused, as JSON does.

    Raises JsonLimitError, before anything is built, for a text that is nested too deeply or holds too many objects or
    values, and orjson.JSONDecodeError for what is no JSON; both are ValueErrors.
    """
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    _check(raw, limits)
    return orjson.loads(raw)


def _check(content: bytes | bytearray, limits: JsonLimits) -> None:
    """Look at brackets and commas outside of strings only: a fraction of the text, whatever it is."""
    if b"\\" in content:
        content = _ESCAPES.sub(b"", content)
    structure = _STRINGS.sub(b"", content.translate(None, _OTHER_BYTES))
    containers = structure.count(b"[") + structure.count(b"{")
    if containers > limits.containers:
        raise JsonLimitError(f"it holds {containers} objects and lists, more than {limits.containers} are not read")
    commas = structure.count(b",")
    if commas + containers > limits.values:
        raise JsonLimitError(f"it holds about {commas} values, more than {limits.values} are not read")
    steps = np.frombuffer(structure.translate(_STEPS, b","), dtype=np.int8)
    depth = int(np.cumsum(steps, dtype=np.int64).max(initial=0))
    if depth > limits.depth:
        raise JsonLimitError(f"it is nested {depth} deep, more than {limits.depth} is not read")


#: An opening bracket is a step down, a closing one a step up.
_STEPS = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
