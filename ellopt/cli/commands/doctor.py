"""``ellopt doctor``: is everything there that is needed, and what to do if not."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.commands.device_arguments import add_device_options, settings_from
from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import read_options
from ellopt.core.settings import setting
from ellopt.targets import find_target
from ellopt.targets.settings import target_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ellopt.app.doctor import Finding
    from ellopt.cli.commands.console import SafeConsole

#: the columns before what is said
_HANG = 10
_STYLES = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


@dataclass(frozen=True)
class DoctorSettings:
    """What ``ellopt doctor`` looks at."""

    target: str = target_setting("", "the target that you want to tune for", default_text="`host`; with boards, `pi3`")
    output_path: Path = setting(Path("out"), "where tuned models will go", short="o", metavar="PATH")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help=COMMANDS["doctor"].help,
        description="Checks what a tuning run needs and says what to do where something is missing.",
    )
    add_device_options(parser, "what to check", DoctorSettings, JsonSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: SafeConsole) -> int:
    """Show each finding as it comes. Returns 1 if something that is needed is missing."""
    from rich.text import Text

    if read_options(JsonSettings, arguments).json:
        findings = list(_findings(arguments))
        print_json(findings)
        return 1 if any(finding.state == "failed" for finding in findings) else 0
    failed = False
    for finding in _findings(arguments):
        word, style = _STYLES[finding.state]
        line = Text(f"{word:>{_HANG - 2}}", style=style)
        line.append(f"  {finding.subject}: ", style="bold not dim default")
        line.append(finding.detail, style="default")
        console.print(line, soft_wrap=True, hang=_HANG)
        if finding.advice and finding.state != "ok":
            console.print(Text(" " * _HANG + finding.advice), soft_wrap=True, hang=_HANG)
        failed = failed or finding.state == "failed"
    return 1 if failed else 0


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    from ellopt.app import doctor

    boards = arguments.ipaddress or arguments.boards or arguments.cluster
    asked = read_options(DoctorSettings, arguments)
    target = find_target(asked.target or ("pi3" if boards else "host"))
    settings = settings_from(arguments, target.name)
    yield from doctor.basic_findings(target, asked.output_path)
    yield from doctor.tracking_findings()
    if settings.cluster or settings.addresses:
        yield from doctor.device_findings(settings, target)
    elif not target.is_host:
        yield doctor.no_board_finding(target)
