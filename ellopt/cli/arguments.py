"""Kinds of command-line arguments. An empty text means "not given", so that ``mlflow run`` can pass every parameter."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_TRUE = ("true", "yes", "1")
_FALSE = ("false", "no", "0", "")


def optional(kind: Callable[[str], Any], default: Any = None) -> Callable[[str], Any]:
    """``kind``, or ``default`` for an empty text."""

    def convert(text: str) -> Any:
        return default if text == "" else kind(text)

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


#: the kind of an argument that names a file or a directory and must be given
given_path = required(Path)


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


class ArgumentGroup:
    """An argparse group whose options take an empty text for "not given"."""

    def __init__(self, parser: argparse.ArgumentParser, title: str) -> None:
        self._group = parser.add_argument_group(title)

    def value(self, *flags: str, kind: Callable[[str], Any] = str, default: Any = None, help: str, **more: Any) -> None:
        """An option with one value."""
        convert = required(kind) if more.get("required") else optional(kind, default)
        self._group.add_argument(*flags, type=convert, default=default, help=help, **more)

    def path(self, *flags: str, help: str, **more: Any) -> None:
        self.value(*flags, kind=Path, metavar="PATH", help=help, **more)

    def number(self, *flags: str, default: float | None = None, kind: type = int, help: str, **more: Any) -> None:
        self.value(*flags, kind=kind, default=default, metavar="N", help=help, **more)

    def flag(self, *flags: str, help: str) -> None:
        """A switch; it may be followed by true or false."""
        self._group.add_argument(*flags, type=boolean, nargs="?", const=True, default=False, metavar="BOOL", help=help)

    def words(self, *flags: str, metavar: str, help: str) -> None:
        """An option with any number of words."""
        self._group.add_argument(*flags, action=Words, nargs="*", default=(), metavar=metavar, help=help)

    def texts(self, *flags: str, metavar: str, help: str) -> None:
        """An option that may be given several times; its texts may hold anything."""
        self._group.add_argument(*flags, action=Texts, default=(), metavar=metavar, help=help)


def add_input_shape(group: ArgumentGroup) -> None:
    """The option that fixes the sizes of an ONNX model's inputs."""
    group.texts(
        "--input_shape",
        metavar="NAME=1,3,224,224",
        help="the shape of an input of an ONNX model that leaves it open or says it wrongly; once for each input",
    )
