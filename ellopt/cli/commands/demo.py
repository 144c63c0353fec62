"""``ellopt demo``: tunes the model that comes along, and classifies pictures that come along with it."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, read_options
from ellopt.core.settings import setting

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class DemoSettings:
    """Where ``ellopt demo`` writes."""

    output_path: Path = setting(Path("ellopt-demo"), "where the tuned model goes", short="o", metavar="PATH")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo",
        help=COMMANDS["demo"].help,
        description="Tunes a small model of shapes and colours, which comes with ellopt, for this machine with few "
        "things to try, and classifies two pictures with the tuned model.",
    )
    add_options(parser, "options", DemoSettings, JsonSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.app.demo import PICTURES, demo
    from ellopt.cli.progress import display
    from ellopt.report.summary import report_summary
    from ellopt.report.text import closing

    asked, as_json = read_options(DemoSettings, arguments), read_options(JsonSettings, arguments).json
    with display(type(console)(stderr=True) if as_json else console) as shown:
        report, directory, found = demo(asked.output_path, shown)
    if as_json:
        print_json({"report": report_summary(report, directory), "pictures": found})
        return 0
    console.print(closing(report, directory))
    console.print()
    for name, rows in found.items():
        sure = ", ".join(f"{row.label} {row.value:.0%}" for row in rows)
        console.print(f"{name}: {sure}", markup=False, highlight=False, soft_wrap=True)
    picture, labels = (shlex.quote(str(path)) for path in (PICTURES[0], PICTURES[0].with_name("labels.txt")))
    console.print(
        f"\nThe same for a picture of yours: ellopt predict {shlex.quote(str(directory))} --image {picture} "
        f"--scale 1/255 --labels {labels}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0
