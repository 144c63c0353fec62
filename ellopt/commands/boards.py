"""``ellopt targets`` and ``devices``: what can be tuned for, and where."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.table import Table

from ellopt.targets import TARGETS

if TYPE_CHECKING:
    from rich.console import Console


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("targets", help="list the targets", description="Lists what ellopt compiles for.")
    parser.set_defaults(run=targets)


def targets(arguments: argparse.Namespace, console: Console) -> int:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("target", "what it is", "cpu", "lanes", "cores", "triple"):
        table.add_column(column, justify="right" if column in ("lanes", "cores") else "left")
    for target in TARGETS.values():
        lanes = str(target.vector_width or "auto")
        table.add_row(target.name, target.description, target.cpu, lanes, str(target.cores), target.triple or "native")
    console.print(table)
    return 0
