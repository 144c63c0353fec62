"""The parser of every command: a mistake is answered by a line that names it and what was meant, not by a wall."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ellopt.cli.commands.console import SafeConsole
from ellopt.core.nearest import nearest


class CommandParser(argparse.ArgumentParser):
    """An argparse parser whose errors are short. Its subcommands' parsers are of this class, too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._given: tuple[str, ...] = ()

    def parse_known_args(  # type: ignore[override]  # as the base class takes them, without its overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        if args is not None:
            args = self._given = tuple(self._switched(tuple(self._spelt(args))))
        return super().parse_known_args(args, namespace)

    def _spelt(self, args: Sequence[str]) -> Iterator[str]:
        """The arguments with hyphens and underscores in the options of this parser as they are declared."""
        declared = {_form(option): option for option in self._option_string_actions if option.startswith("--")}
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            if word == "--" or word in self._commands():  # what follows is for the command's own parser
                yield word
                break
            if name.startswith("--") and name not in self._option_string_actions:
                yield declared.get(_form(name), self._begun(name, declared)) + equals + value
            else:
                yield word
        yield from words

    def _switched(self, args: Sequence[str]) -> Iterator[str]:
        """The arguments with ``=true`` behind each switch before a word that is not its value but a file's, as in
        ``show --json model.ell``."""
        files = any(not action.option_strings for action in self._actions)
        for place, word in enumerate(args):
            if word == "--" or word in self._commands():
                yield from args[place:]
                return
            action = self._option_string_actions.get(word)
            following = args[place + 1] if place + 1 < len(args) else "-"
            if (
                files
                and action
                and action.const is True
                and not following.startswith("-")
                and _refuses(action, following)
            ):
                yield f"{word}=true"
            else:
                yield word

    @staticmethod
    def _begun(name: str, declared: Mapping[str, str]) -> str:
        """``name`` as the option that it is the beginning of has it."""
        option = next((option for form, option in declared.items() if form.startswith(_form(name))), name)
        return option[: len(name)]

    def error(self, message: str) -> NoReturn:
        """End with exit code 2, having said what is wrong and what was meant."""
        commands = self._commands()
        given = next((text for text in self._given if text in commands), "")
        if given and message.startswith("unrecognized arguments"):  # the command's parser left them to this one
            commands[given].error(message)
        text = f"{self.prog}: {self._explained(message)}\nSee '{self.prog} --help'."
        SafeConsole(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
        self.exit(2)

    def _explained(self, message: str) -> str:
        commands, first = self._commands(), self._given[0] if self._given else "-"
        if commands and not first.startswith("-") and first not in commands:  # whatever options follow it
            close = nearest(first, commands)
            hint = f"; did you mean {close}?" if close else f": use one of {', '.join(commands)}"
            return f"unknown command {first!r}{hint}"
        if unknown := self._unknown_option():
            return f"unknown option {unknown}{self._meant(unknown)}"
        if found := re.search(r"invalid choice: '(?P<given>.*?)' \(choose from", message, re.DOTALL):
            given = found["given"]
            if given in self._commands():  # of an option, not of the command line
                return message
            if "COMMAND" in message or "{" in message.partition(":")[0]:
                close = nearest(given, self._commands())
                hint = f"; did you mean {close}?" if close else f": use one of {', '.join(self._commands())}"
                return f"unknown command {given!r}{hint}"
        if "required: COMMAND" in message:
            return f"a command is missing: use one of {', '.join(self._commands())}"
        return message

    def _unknown_option(self) -> str:
        """The first of the given options that this parser does not know, empty if it knows them all."""
        known = self._option_string_actions
        for text in self._given:
            if text == "--":
                break
            if text in self._commands():  # what follows is for the command's own parser
                break
            name = text.partition("=")[0]
            long = name.startswith("--") and len(name) > 2
            if long and not any(option.startswith(name) for option in known):
                return name
        return ""

    def _meant(self, unknown: str) -> str:
        places = [action for action in self._actions if not action.option_strings and isinstance(action.metavar, str)]
        bare = {f"--{str(action.metavar).lower()}": action.metavar for action in places}
        began = (option for option in bare if _form(unknown).startswith(_form(option)))
        long = (option for option in self._option_string_actions if option.startswith("--"))
        if close := next(began, "") or nearest(unknown, (*long, *bare)):
            return f"; {bare[close]} is given without an option" if close in bare else f"; did you mean {close}?"
        for name, parser in self._commands().items():
            if _form(unknown) in map(_form, parser._option_string_actions):
                return f"; options come behind the command: {self.prog} {name} {unknown} ..."
        return ""

    def _commands(self) -> dict[str, argparse.ArgumentParser]:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}


def _refuses(action: argparse.Action, word: str) -> bool:
    """Whether ``word`` cannot be the value of ``action``'s option."""
    if action.nargs != "?" or not callable(action.type):
        return False
    try:
        action.type(word)
    except (argparse.ArgumentTypeError, ValueError):
        return True
    return False


def _form(option: str) -> str:
    return "--" + option[2:].replace("-", "_")
