"""``ellopt calibrate``: how estimates compare with a real board, kept for the next ones."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ellopt.cli.commands.device_arguments import add_device_options, settings_from
from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import read_options
from ellopt.targets import find_target
from ellopt.targets.settings import target_setting

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class CalibrateSettings:
    """What ``ellopt calibrate`` compares."""

    target: str = target_setting(
        "pi3_64",
        "the kind of board: `pi3`, `pi3_64`, `pi4`, `pi4_64`, `pi5` or `pi_zero2`",
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "calibrate",
        help=COMMANDS["calibrate"].help,
        description="Runs loops and two small networks on a board and on its simulated processor. The factor between "
        "them is kept for this kind of board and used by later estimates.",
    )
    add_device_options(parser, "boards", CalibrateSettings, JsonSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from rich.text import Text

    from ellopt.app.calibrate import calibrate
    from ellopt.core.numbers import percent
    from ellopt.report.tables import WordTable

    target = read_options(CalibrateSettings, arguments).target
    found, path = calibrate(settings_from(arguments, target), find_target(target, 1))
    if read_options(JsonSettings, arguments).json:
        print_json({"kept": path, "factor": found.factor, "spread": found.spread, **asdict(found)})
        return 0
    table = WordTable(box=None, pad_edge=False, header_style="bold")
    table.add_column("what ran")
    table.add_column("times as long as estimated", justify="right")
    for name, ratio in found.ratios.items():
        table.add_row(Text(name), f"{ratio:.3f}")
    console.print(table)
    console.print(
        f"{found.board} takes {found.factor:.3f} times as long as estimated (spread {percent(found.spread)}); "
        f"kept in {path}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0
