"""``ellopt store``: looks after a store of measurements."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, read_options
from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import check_settings, setting

if TYPE_CHECKING:
    from rich.console import Console

ACTIONS = ("list", "prune", "export", "import")
_DAY = 24 * 3600.0


@dataclass(frozen=True)
class StoreSettings:
    """Which store, and what of it."""

    store: str | None = setting(
        None,
        "the store: a file, or the URL of a database",
        metavar="URL",
        default_text="`ELLOPT_STORE`, or a file in the cache",
        secret=True,
    )
    target: str = setting("", "only what was measured for this target", metavar="NAME", default_text="all")
    board: str = setting("", "only what was measured on boards whose kind contains this", metavar="TEXT")
    older_than: float | None = setting(None, "prune: only what is older than so many days", metavar="DAYS", least=0)

    def __post_init__(self) -> None:
        check_settings(self)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "store",
        help=COMMANDS["store"].help,
        description="Looks after a store of measurements, which later searches begin with.",
    )
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (list is the default)")
    parser.add_argument("file", nargs="?", type=Path, help="the file to export to or to import from")
    add_options(parser, "options", StoreSettings, JsonSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.measure import keeping
    from ellopt.measure.store import MeasurementStore

    asked, as_json = read_options(StoreSettings, arguments), read_options(JsonSettings, arguments).json
    store, path = MeasurementStore.named(asked.store), arguments.file
    if (arguments.action in ("export", "import")) != (path is not None):
        raise ConfigurationError(f"ellopt store {arguments.action}: {'give no' if path else 'give the'} file")
    said: dict[str, Any] = {"store": store.shown}
    if arguments.action == "list":
        return _list(keeping.kept(store, asked.target, asked.board), console, as_json)
    if arguments.action == "export":
        said["exported"] = keeping.export(store, path)
    elif arguments.action == "import":
        said["read"], said["new"] = keeping.take_in(store, path)
    else:
        if asked.older_than is None and not asked.target and not asked.board:
            raise ConfigurationError("ellopt store prune: say what, by --older_than, --target or --board")
        before = None if asked.older_than is None else time.time() - asked.older_than * _DAY
        some = [each.key for each in keeping.kept(store, asked.target, asked.board)]
        said["pruned"] = store.prune(before, some if asked.target or asked.board else None)
    if as_json:
        print_json(said)
    else:
        console.print(", ".join(f"{name}: {value}" for name, value in said.items()), markup=False, highlight=False)
    return 0


def _list(found: list[Any], console: Console, as_json: bool) -> int:
    from rich.text import Text

    from ellopt.report.tables import WordTable

    if as_json:
        print_json(found)
        return 0
    table = WordTable(box=None, pad_edge=False, header_style="bold")
    for column in ("target", "board", "toolchain", "threads", "shapes", "measurements", "from", "to", "by"):
        table.add_column(column, overflow="fold")
    for each in found:
        context = each.context
        board = f"{context.board} (emulated)" if context.emulated else context.board
        texts = (
            context.target, board, f"{context.toolchain} {context.toolchain_version}", str(context.threads),
            str(each.shapes), str(each.measurements), _day(each.oldest), _day(each.newest), ", ".join(each.who),
        )  # fmt: skip
        table.add_row(*map(Text, texts))
    console.print(table if found else "nothing is kept")
    return 0


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
