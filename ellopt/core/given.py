"""Groups of settings made from what was given by name, on the command line or in Python."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import SettingField, check_settings, settings_of

Group = TypeVar("Group")
_CALLED = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


def kind_of(hint: Any) -> Callable[[str], Any]:
    """What reads a text as a value of the type, or of the type that may be None."""
    kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not NoneType]
    [kind] = kinds
    return typing.cast("Callable[[str], Any]", kind)


def read_settings(group: type[Group], given: Mapping[str, Any], **instead: Any) -> Group:
    """The group as ``given`` says it, by the keys of its fields; what it leaves out or gives as None may stand in the
    environment, and is else as the field says. ``instead`` overrides, by the names of fields.

    Raises ConfigurationError for values of another kind, and for those that the group does not allow.
    """
    hints = typing.get_type_hints(group)
    values: dict[str, Any] = {}
    for part in settings_of(group):
        if part.name in instead or part.setting.no_option:
            continue
        value = given.get(part.key)
        if part.setting.environment and not value:
            text = os.environ.get(part.setting.environment) or None
            value = text if text is None else kind_of(hints[part.name])(text)
        if value is not None:
            values[part.name] = _value(part, hints[part.name], value)
    made = group(**values, **instead)
    check_settings(made)
    return made


def given_value(group: type, name: str, given: Mapping[str, Any]) -> Any:
    """What ``given`` says of one field, None if nothing. Raises ConfigurationError for a value of another kind."""
    [part] = [part for part in settings_of(group) if part.name == name]
    value = given.get(part.key)
    return None if value is None else _value(part, typing.get_type_hints(group)[name], value)


def _value(part: SettingField, hint: Any, value: Any) -> Any:
    """``value`` as the field has it: a list as a tuple, a text as a path."""
    single = part.setting.kind or (str if typing.get_origin(hint) is tuple else kind_of(hint))
    if typing.get_origin(hint) is tuple:
        several = (value,) if isinstance(value, (str, os.PathLike)) else value
        try:
            return tuple(_single(part, single, one) for one in several)
        except TypeError:
            raise ConfigurationError(f"{part.key}: a list of texts is needed, not {value!r}") from None
    return _single(part, single, value)


def _single(part: SettingField, kind: Any, value: Any) -> Any:
    if kind is Path and isinstance(value, (str, os.PathLike)):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in _CALLED and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
        raise ConfigurationError(f"{part.key}: {_CALLED[kind]} is needed, not {value!r}")
    try:
        return value if isinstance(kind, type) else kind(value)
    except ValueError as error:
        raise ConfigurationError(f"{part.key}: {error}") from None
