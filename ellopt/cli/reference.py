"""The documents that list options, made from the parser: the tables of the reference, the parameters of the project."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping

from ellopt.cli.options import default_text, options_of
from ellopt.core.settings import SettingField

_HEAD = "| option | meaning | default |\n|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")
_SECTION = re.compile(r"^## `ellopt (?P<name>[a-z-]+)[^\n]*\n(?:(?!^## ).*\n?)*", re.MULTILINE)
_MAIN = re.compile(r"(?<=  main:\n)(?:    .*\n)+")

#: Before a command of the project: Debian has only python3. A line of bash's and of cmd's, as MLflow starts it.
_PYTHON = 'python -c pass || python() ( exec python3 "$@" ) &&'


def commands_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of the commands, by name."""
    found = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(next(found))


def settings_by_title(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, list[tuple[argparse.Action, SettingField]]]]:
    """The options of a command that groups of settings have, by the title that they stand under."""
    for group in parser._action_groups:
        options = [(action, action.setting) for action in group._group_actions if hasattr(action, "setting")]
        if options:
            yield group.title or "", options


def table(parser: argparse.ArgumentParser) -> str:
    """The options of a command as a table in Markdown, empty if it has none."""
    groups = list(settings_by_title(parser))
    rows = []
    for title, options in groups:
        if len(groups) > 1:
            rows.append(f"| **{title}** | | |")
        rows += [_row(action, part) for action, part in options]
    return _HEAD + "".join(f"{row}\n" for row in rows) if rows else ""


def _row(action: argparse.Action, part: SettingField) -> str:
    value = "" if isinstance(part.default, bool) else f" {action.metavar or part.option.upper()}"
    more = " ..." if action.nargs == "*" else ""
    short = f", `-{part.setting.short}`" if part.setting.short else ""
    cells = (f"`--{part.option}{value}{more}`{short}", part.setting.help, default_text(part))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_tables(reference: str, parser: argparse.ArgumentParser) -> str:
    """The reference page with the table of every command made anew."""
    commands = commands_of(parser)

    def renewed(section: re.Match[str]) -> str:
        command = commands.get(section["name"])
        made = table(command) if command is not None else ""
        return _TABLE.sub(lambda _: made, section[0])

    return _SECTION.sub(renewed, reference)


def project_parameters(groups: tuple[type, ...]) -> dict[str, str]:
    """The parameters that the project's main entry point names, and their defaults. MLflow passes any other that is
    given as an option of its name, and none that is not."""
    parts = (part for group in groups for part in options_of(group))
    return {
        part.option.replace("-", "_"): part.setting.project_default for part in parts if part.setting.project_default
    }


def with_parameters(project: str, groups: tuple[type, ...]) -> str:
    """The project file with its main entry point made anew."""
    parameters = project_parameters(groups)
    lines = ["    parameters:"]
    lines += [f"      {name}: {{type: string, default: {default}}}" for name, default in parameters.items()]
    lines += ["    command: >-", f"      {_PYTHON}", "      python profile_and_optimize.py"]
    lines.append("     " + "".join(f" --{name} {{{name}}}" for name in parameters))
    return _MAIN.sub(lambda _: "".join(f"{text}\n" for text in lines), project, count=1)
