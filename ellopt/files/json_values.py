"""Parsed JSON that was written by somebody, turned into dataclasses by their own types.

``decode`` follows the annotations of a dataclass, so that a file's reader need not check each value by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ellopt.files.json_text import DEFAULT_LIMITS, JsonLimits, parse_json

T = TypeVar("T")


def parse_object(data: bytes, limits: JsonLimits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The object of a JSON text. Raises ValueError for anything else and for what is beyond ``limits``."""
    value = parse_json(data, limits)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def decode(kind: type[T], value: object, where: str = "") -> T:
    """``value``, as parsed from JSON or made by ``asdict``, as an instance of ``kind``.

    ``kind`` may be a dataclass, a plain type, a tuple, a mapping with text keys, a Literal or a union of such. A number
    is never a truth value, floats are finite, and keys that a dataclass has no field for are an error. Raises
    ValueError, which names the place below ``where``.
    """
    result: T = _decode(kind, value, where)
    return result


def _decode(kind: Any, value: object, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _wrong(where, "a finite number", value)
        return float(value)
    if kind in (str, int, bool, NoneType):
        if type(value) is not kind:
            raise _wrong(where, "nothing" if kind is NoneType else kind.__name__, value)
        return value
    if origin is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise _wrong(where, f"one of {', '.join(map(str, get_args(kind)))}", value)
        return value
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {key: _decode(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    raise TypeError(f"no reader for {kind}")


def _one_of(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    for kind in others[:-1]:
        try:
            return _decode(kind, value, where)
        except ValueError:
            continue
    return _decode(others[-1], value, where)


def _tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, "a list", value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_decode(kinds[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(kinds):
        raise _wrong(where, f"a list of {len(kinds)}", value)
    return tuple(_decode(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _dataclass(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    known = _fields(kind)
    if unknown := value.keys() - known.keys():
        raise ValueError(f"{where or kind.__name__}: unknown key {min(unknown)!r}")
    found = {}
    for name, (field, hint) in known.items():
        if name in value:
            found[name] = _decode(hint, value[name], f"{where}.{name}" if where else name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where or kind.__name__}: {name!r} is missing")
    return kind(**found)


@cache
def _fields(kind: Any) -> dict[str, tuple[Field[Any], Any]]:
    hints = get_type_hints(kind)
    return {field.name: (field, hints[field.name]) for field in fields(kind) if field.init}


def _wrong(where: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{where or 'value'}: {wanted} expected, not {repr(value)[:60]}")
