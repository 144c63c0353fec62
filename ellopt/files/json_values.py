"""Parsed JSON that was written by somebody, turned into dataclasses by their own types.

``decode`` follows the annotations of a dataclass, so that a file's reader need not check each value by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
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


@dataclass(frozen=True)
class Form:
    """How objects of a type stand in a file, where that is not field by field.

    ``read`` gets what ``write`` made, and the place that it is from. It raises ValueError for anything else.
    """

    write: Callable[[Any], object]
    read: Callable[[object, str], Any]


Forms = Mapping[Any, Form]


def encode(value: object, forms: Forms | None = None) -> Any:
    """``value``, of whatever ``decode`` makes, as what JSON knows: dataclasses and mappings become objects."""
    if forms and (form := forms.get(type(value))) is not None:
        return encode(form.write(value), forms)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name), forms) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item, forms) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item, forms) for item in value]
    return value


def decode(kind: type[T], value: object, where: str = "", forms: Forms | None = None) -> T:
    """``value``, as parsed from JSON or made by ``encode``, as an instance of ``kind``.

    ``kind`` may be a dataclass, a plain type, an enum, a tuple, a mapping with text keys, a Literal or a union of such.
    A number is never a truth value, floats are finite, and keys that a dataclass has no field for are an error. Raises
    ValueError, which names the place below ``where``.
    """
    result: T = _decode(kind, value, where, forms or {})
    return result


def _decode(kind: Any, value: object, where: str, forms: Forms) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if (form := forms.get(kind if isinstance(kind, type) else origin)) is not None:
        return form.read(value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if isinstance(value, bool) or value not in [member.value for member in kind]:
            raise _wrong(where, f"one of {', '.join(str(member.value) for member in kind)}", value)
        return kind(value)
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
        return _one_of(get_args(kind), value, where, forms)
    if origin is tuple:
        return _tuple(get_args(kind), value, where, forms)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {key: _decode(get_args(kind)[1], item, f"{where}.{key}", forms) for key, item in value.items()}
    if is_dataclass(kind):
        return _dataclass(kind, value, where, forms)
    raise TypeError(f"no reader for {kind}")


def _one_of(kinds: tuple[Any, ...], value: object, where: str, forms: Forms) -> Any:
    if value is None and NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    for kind in others[:-1]:
        try:
            return _decode(kind, value, where, forms)
        except ValueError:
            continue
    return _decode(others[-1], value, where, forms)


def _tuple(kinds: tuple[Any, ...], value: object, where: str, forms: Forms) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, "a list", value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_decode(kinds[0], item, f"{where}[{i}]", forms) for i, item in enumerate(value))
    if len(value) != len(kinds):
        raise _wrong(where, f"a list of {len(kinds)}", value)
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_decode(kind, item, f"{where}[{i}]", forms) for i, (kind, item) in pairs)


def _dataclass(kind: Any, value: object, where: str, forms: Forms) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    known = _fields(kind)
    if unknown := value.keys() - known.keys():
        raise ValueError(f"{where or kind.__name__}: unknown key {min(unknown)!r}")
    found = {}
    for name, (field, hint) in known.items():
        if name in value:
            found[name] = _decode(hint, value[name], f"{where}.{name}" if where else name, forms)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where or kind.__name__}: {name!r} is missing")
    return kind(**found)


@cache
def _fields(kind: Any) -> dict[str, tuple[Field[Any], Any]]:
    hints = get_type_hints(kind)
    return {field.name: (field, hints[field.name]) for field in fields(kind) if field.init}


def _wrong(where: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{where or 'value'}: {wanted} expected, not {repr(value)[:60]}")
