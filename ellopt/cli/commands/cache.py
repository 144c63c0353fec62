"""``ellopt cache``: what is kept between runs, and where; and how to be rid of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, read_options
from ellopt.core.settings import setting

if TYPE_CHECKING:
    from rich.console import Console

    from ellopt.app.kept import Kept


@dataclass(frozen=True)
class CacheSettings:
    """What ``ellopt cache clear`` removes, and ``show`` counts."""

    all: bool = setting(
        False,
        "remove also what is no cache, or another program's too: boards' host keys, factors of `ellopt calibrate`, "
        "records of killed runs, zig's own cache",
    )
    count: bool = setting(
        False, "count zig's own cache again, which may take half a minute, where `ellopt cache show` says when it did"
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "cache",
        help=COMMANDS["cache"].help,
        description="Shows the files that ellopt keeps between runs outside of output directories, with their sizes, "
        "or removes those that can be made again. Remove nothing while a tuning runs.",
    )
    parser.add_argument(
        "action", nargs="?", choices=("show", "clear"), default="show", help="show (the default) or clear"
    )
    add_options(parser, "options", CacheSettings, JsonSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.app.kept import clear, kept
    from ellopt.core.numbers import storage

    clearing, as_json = arguments.action == "clear", read_options(JsonSettings, arguments).json
    settings = read_options(CacheSettings, arguments)
    if clearing:
        found = clear(settings.all)
    elif console.is_terminal and not as_json:
        with console.status("counting files") as status:

            def progress(files: int, size: int) -> None:
                status.update(f"counting files: {files:,}, {storage(size)}")

            found = kept(settings.count, progress)
    else:
        found = kept(settings.count)
    if as_json:
        print_json({"removed" if clearing else "kept": found})
        return 0
    rows = [row for row in found if row.files] if clearing else found
    if clearing and not rows:
        console.print("there was nothing to remove")
        return 0
    console.print(_table(rows, "removed" if clearing else "kept"))
    if not clearing:
        for row in rows:
            if row.counted is not None:
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.counted))
                console.print(f"\n{row.what}: as counted on {when}; --count counts again", highlight=False)
        console.print(
            "\n'ellopt cache clear' removes what can be made again; with --all also what is marked *.\n"
            "Output directories keep their own: delete OUT/MODEL/.ellopt to forget a search.",
            markup=False, highlight=False,
        )  # fmt: skip
    return 0


def _table(rows: Sequence[Kept], title: str) -> object:
    from rich.text import Text

    from ellopt.core.numbers import storage
    from ellopt.report.tables import WordTable

    table = WordTable(box=None, pad_edge=False, header_style="bold")
    for name, right in ((title, False), ("size", True), ("files", True), ("where", False)):
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        what = f"{row.what} *" if row.lasting and title == "kept" else row.what
        table.add_row(Text(what), storage(row.bytes), str(row.files), Text(str(row.place)))
    if len(rows) > 1:
        table.add_row("all", storage(sum(row.bytes for row in rows)), str(sum(row.files for row in rows)), "")
    return table
