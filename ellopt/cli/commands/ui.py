"""``ellopt ui``: MLflow's pages, opened where a run's trials are."""

from __future__ import annotations

import argparse
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, add_path, read_options
from ellopt.core.settings import setting

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class UiSettings:
    """How ``ellopt ui`` shows MLflow's pages."""

    browser: bool = setting(True, "do not open a browser; only print the addresses")
    port: int | None = setting(
        None, "the port to serve the pages on", default_text="5000, or one that is free", least=1
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "ui",
        help=COMMANDS["ui"].help,
        description="Starts 'mlflow ui' on the store that holds the runs of an output directory and opens the view of "
        "their trials in a browser. Ends with Ctrl-C.",
    )
    add_path(
        parser,
        "directory",
        metavar="OUT",
        nargs="?",
        default=None,
        help="the --output_path of a tuning run (default: the store of the current folder)",
    )
    add_options(parser, "options", UiSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.tracking.serving import has_display, served
    from ellopt.tracking.ui import find_store, pages_of

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    asked = read_options(UiSettings, arguments)
    try:
        store = find_store(arguments.directory)
        for other in store.elsewhere:
            say(f"{other.directory}: its run is in another store; show it with: ellopt ui {other.directory}")
        with served(store.uri, asked.port) as server:
            say(f"MLflow's pages at {server.address} ...")
            console.file.flush()
            pages = pages_of(store)
            server.ready()
            for page in pages.runs:
                say(f"{page.name}: {server.address}/{page.run}")
            say(f"{'trials' if len(pages.runs) == 1 else 'overview'}: {server.address}/{pages.first}")
            if asked.browser and has_display():
                webbrowser.open(f"{server.address}/{pages.first}")
            if server.is_ours:
                say("Ctrl-C ends the server.")
            console.file.flush()
            server.wait()
    except KeyboardInterrupt:  # how to leave it
        return 0
    return 0
