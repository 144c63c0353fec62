"""``ellopt targets`` and ``devices``: what can be tuned for, and where."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from ellopt.cli.commands.device_arguments import add_device_options, settings_from
from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, read_options
from ellopt.core.settings import setting
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.report.tables import WordTable
from ellopt.targets import TARGETS, find_target
from ellopt.targets.settings import target_setting

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class DevicesSettings:
    """What ``ellopt devices`` shows and does."""

    target: str = target_setting(
        "pi3",
        "the target whose platform the boards must have",
    )
    release_mine: bool = setting(
        False,
        "free the boards that your earlier runs left locked when they were killed",
        option="release-mine",
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "targets", help=COMMANDS["targets"].help, description="Lists what ellopt compiles for."
    )
    add_options(parser, "options", JsonSettings)
    parser.set_defaults(run=targets)

    parser = subparsers.add_parser(
        "devices",
        help=COMMANDS["devices"].help,
        description="Lists the boards of a cluster service, those at the given addresses, or those of a fleet: state "
        "and holder.",
    )
    add_device_options(parser, "boards", DevicesSettings, JsonSettings)
    add_options(parser, "a fleet", FleetSettings, without=("board_kind",))
    parser.set_defaults(run=devices)


def targets(arguments: argparse.Namespace, console: Console) -> int:
    if read_options(JsonSettings, arguments).json:
        print_json(
            [
                {
                    "name": t.name,
                    "description": t.description,
                    "cpu": t.compiler_cpu,
                    "cores": t.cores,
                    "lanes": t.cpu.lanes if t.cpu else None,
                    "triple": t.triple or None,
                }
                for t in TARGETS.values()
            ]
        )
        return 0
    table = _table("target", "what it is", "cpu", "lanes", "cores", "triple")
    for target in TARGETS.values():
        lanes = str(target.cpu.lanes) if target.cpu else "auto"
        table.add_row(
            target.name, target.description, target.compiler_cpu, lanes, str(target.cores), target.triple or "native"
        )
    console.print(table)
    return 0


def devices(arguments: argparse.Namespace, console: Console) -> int:
    """Returns 1 if a board that was given cannot be reached or refuses us."""
    from ellopt.devices.listing import list_devices, release_mine

    asked, as_json = read_options(DevicesSettings, arguments), read_options(JsonSettings, arguments).json
    settings = settings_from(arguments, asked.target)
    if asked.release_mine:
        released = release_mine(settings)
        if as_json:
            print_json({"released": released})
            return 0
        what = ", ".join(released) if released else "nothing of yours was left locked"
        console.print(f"released: {what}", markup=False, highlight=False)
        return 0
    fleet, target = read_options(FleetSettings, arguments), find_target(asked.target)
    if fleet.meant and not (settings.addresses or settings.cluster):
        from ellopt.measure.executors.dask.pool import list_offers

        rows = list_offers(fleet, target)
    else:
        rows = list_devices(settings, target)
    table = _table("board", "state", "holder", "fits", "platform", "remark")
    for row in rows:
        texts = (row.name, row.state, row.holder, "yes" if row.fits else "no", row.platform, row.comment)
        table.add_row(*(Text(text) for text in texts))
    if as_json:
        print_json(rows)
    else:
        console.print(table if rows else "no boards")
    return 1 if any(row.state in ("unreachable", "refused") for row in rows) else 0


def _table(*columns: str) -> WordTable:
    table = WordTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
