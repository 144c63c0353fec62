"""Command-line options of groups of settings: made from what the fields say, and read back into the groups.

An empty text means "not given".
"""

from __future__ import annotations

import argparse
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import shtab

from ellopt.core.given import kind_of, read_settings
from ellopt.core.settings import SettingField, settings_of

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0", "")
Group = TypeVar("Group")


def optional(kind: Callable[[str], Any], default: Any = None) -> Callable[[str], Any]:
    """``kind``, or ``default`` for an empty text."""

    def convert(text: str) -> Any:
        try:
            return default if text == "" else kind(text)
        except ValueError as error:
            if isinstance(kind, type):  # argparse says it
                raise
            raise argparse.ArgumentTypeError(str(error)) from None

    convert.__name__ = getattr(kind, "__name__", "value")  # argparse names it in its messages
    return convert


def required(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """``kind`` of a text that must say something: a path that is empty would be the current directory."""

    def convert(text: str) -> Any:
        if not text.strip():
            raise argparse.ArgumentTypeError("is empty; does it come from a variable that is not set?")
        return kind(text)

    convert.__name__ = getattr(kind, "__name__", "value")
    return convert


class Suggestions(tuple[str, ...]):
    """Choices that a shell completes; the settings themselves say which values there are, and what was meant."""

    def __contains__(self, value: object) -> bool:
        return True


def boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


class Words(argparse.Action):
    """Collects words given one by one or as one text of several, over all uses of the option."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        texts = [values] if isinstance(values, str) else [str(value) for value in values or ()]
        words = [word for text in texts for word in text.replace(",", " ").split()]
        earlier = getattr(namespace, self.dest) or ()
        setattr(namespace, self.dest, (*earlier, *words))


class Texts(argparse.Action):
    """Collects texts as they are, over all uses of the option; empty ones say nothing."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        text = (values,) if isinstance(values, str) and values else ()
        setattr(namespace, self.dest, (*(getattr(namespace, self.dest) or ()), *text))


def options_of(group: type) -> Iterator[SettingField]:
    """The fields of a group that have an option."""
    return (part for part in settings_of(group) if not part.setting.no_option)


def default_text(part: SettingField) -> str:
    """How an option's default reads, in Markdown."""
    if part.setting.required:
        return "must be given"
    if part.setting.default_text:
        return part.setting.default_text
    if isinstance(part.default, bool):
        return "off"
    if part.default in (None, "", ()):
        return "none"
    return f"{part.default:g}" if isinstance(part.default, (int, float)) else f"`{part.default}`"


def add_path(parser: argparse.ArgumentParser, name: str, **facts: Any) -> None:
    """Add a positional argument that names a file or a directory and must be given."""
    argument: Any = parser.add_argument(name, type=required(Path), **facts)
    argument.complete = shtab.FILE


def add_options(parser: argparse.ArgumentParser, title: str, *groups: type, without: Sequence[str] = ()) -> None:
    """Add the options of ``groups`` to ``parser``, under one title, all but those of the fields ``without``."""
    place = parser.add_argument_group(title)
    exclusive: dict[str, argparse._MutuallyExclusiveGroup] = {}
    for group in groups:
        hints = typing.get_type_hints(group)
        for part in options_of(group):
            if part.name in without:
                continue
            to: Any = place
            if word := part.setting.exclusive:
                if word not in exclusive:
                    exclusive[word] = place.add_mutually_exclusive_group()
                to = exclusive[word]
            _add(to, part, hints[part.name])


def _add(to: Any, part: SettingField, hint: Any) -> None:
    said = part.setting
    flags = [f"--{part.option}", *([f"-{said.short}"] if said.short else [])]
    facts: dict[str, Any] = {"dest": _dest(part), "help": _help(part), "metavar": said.metavar or None}
    if isinstance(part.default, bool):
        facts |= {"type": boolean, "nargs": "?", "const": True, "default": False, "metavar": "BOOL"}
    elif said.repeated:
        facts |= {"action": Texts, "default": ()}
    elif said.kind is None and typing.get_origin(hint) is tuple:
        facts |= {"action": Words, "nargs": "*", "default": ()}
    else:
        kind = said.kind or kind_of(hint)
        if not said.metavar:
            facts["metavar"] = "N" if kind in (int, float) else "PATH" if kind is Path else None
        if said.required:
            facts |= {"type": required(kind), "required": True}
        else:
            facts |= {"type": optional(kind, part.default), "default": part.default}
        if names := said.choices or said.suggestions:
            facts["choices"] = Suggestions(names)
    action: Any = to.add_argument(*flags, **facts)
    action.setting = part  # documents are made from it
    if said.kind is Path or (not said.kind and Path in (*typing.get_args(hint), hint)):
        action.complete = shtab.FILE


def _dest(part: SettingField) -> str:
    return part.option.replace("-", "_")


def _help(part: SettingField) -> str:
    default = default_text(part)
    shown = default not in ("off", "none", "must be given")
    text = f"{part.setting.help} (default: {default})" if shown else part.setting.help
    return plain(text).replace("%", "%%")  # argparse formats it


def plain(markdown: str) -> str:
    """A text in Markdown for a terminal: names of commands stand between quotes, other code by itself, links are left
    out."""
    markdown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"`([^`]*)`", lambda code: f"'{code[1]}'" if " " in code[1] else code[1], markdown)


def given_options(arguments: argparse.Namespace, *groups: type) -> dict[str, Any]:
    """What the arguments say of the fields of ``groups``, by their keys."""
    found: dict[str, Any] = {}
    for part in (part for group in groups for part in options_of(group)):
        if _dest(part) in arguments:  # a command may leave some out
            value = getattr(arguments, _dest(part))
            found[part.key] = not value if part.switched_off else value
    return found


def read_options(group: type[Group], arguments: argparse.Namespace, **instead: Any) -> Group:
    """The group as the arguments say it; what is not given may stand in the environment. ``instead`` overrides.

    Raises ConfigurationError for values that the group does not allow.
    """
    return read_settings(group, given_options(arguments, group), **instead)
