"""``ellopt worker``: offers boards, this machine or builds to the clients of a Dask scheduler."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ellopt.app.asked import device_groups
from ellopt.cli.commands.device_arguments import settings_from
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.messages import MessageSettings
from ellopt.cli.options import add_options, read_options
from ellopt.core.errors import ConfigurationError
from ellopt.measure.executors.dask.offered import WorkerSettings
from ellopt.measure.executors.dask.settings import FleetSettings

if TYPE_CHECKING:
    from rich.console import Console


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "worker",
        help=COMMANDS["worker"].help,
        description="Offers boards, this machine or builds to the clients of a Dask scheduler, until it is stopped. "
        "What is needed to reach the boards stays here.",
    )

    add_options(parser, "what is offered", WorkerSettings)
    add_options(parser, "the fleet", FleetSettings, without=("board_kind",))
    add_options(parser, "boards", *device_groups(), without=("estimate",))
    add_options(parser, "messages", MessageSettings)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Returns when it is stopped."""
    from ellopt.cli.logs import configure
    from ellopt.measure.executors.dask.worker import run_worker

    settings, fleet = read_options(WorkerSettings, arguments), read_options(FleetSettings, arguments)
    devices = settings_from(arguments, settings.target)
    secrets = tuple(secret for secret in (devices.apikey, devices.password) if secret)
    configure(read_options(MessageSettings, arguments), secrets)
    if not fleet.meant:
        raise ConfigurationError("no scheduler was named: give --scheduler or --scheduler_file")
    run_worker(settings, devices, fleet)
    return 0
