"""Options that say where boards are, the same for every command that uses boards."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Any

from ellopt.cli.options import add_options, read_options
from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import OwnGroups
from ellopt.devices.board_lists import read_board_list
from ellopt.devices.kinds import DEVICE_KINDS
from ellopt.devices.settings import DeviceSettings

#: fields of DeviceSettings that say how boards are measured on, not where they are
TUNING_ONLY = ("parallel_run", "board_timeout", "fix_frequency", "emulate", "estimate")


def device_groups() -> tuple[type, ...]:
    """The settings of devices, and those that kinds of devices bring."""
    return (DeviceSettings, *_own_groups())


def _own_groups() -> tuple[type, ...]:
    return tuple(dict.fromkeys(kind.settings for kind in DEVICE_KINDS if kind.settings is not None))


@dataclass(frozen=True)
class BoardPlaces:
    """Where boards are: addresses, those of a list, or a cluster service, or nothing of it."""

    ipaddresses: tuple[str, ...]
    boards: tuple[str, ...]
    cluster: str | None


def places_from(arguments: argparse.Namespace, target: str) -> BoardPlaces:
    """Where the options, and RPI_CLUSTER where they say nothing, put the boards.

    Raises ConfigurationError for options that contradict each other: what is asked for is never dropped silently.
    """
    listed = read_board_list(arguments.boards) if arguments.boards else ()
    ipaddresses = arguments.ipaddress
    if target == "host":
        asked = (("--ipaddress", ipaddresses), ("--boards", listed), ("--cluster", arguments.cluster))
        for option, given in asked:
            if given:
                raise ConfigurationError(
                    f"--target host and {option} contradict each other: host is this machine. Give the boards' "
                    "--target ('ellopt targets' lists them), or leave the boards out"
                )
        if arguments.emulate:
            raise ConfigurationError(
                "--target host and --emulate contradict each other: host is this machine, which needs no emulator. "
                "Give the --target to emulate ('ellopt targets' lists them), or leave --emulate out"
            )
        return BoardPlaces((), (), None)
    cluster = arguments.cluster
    said = ipaddresses or listed or arguments.emulate or arguments.estimate
    if cluster is None and not said:
        cluster = os.environ.get("RPI_CLUSTER") or None
    if cluster and (ipaddresses or listed):
        option = "--ipaddress" if ipaddresses else "--boards"
        raise ConfigurationError(f"{option} and --cluster exclude each other: give the boards one way only")
    return BoardPlaces(ipaddresses, listed, cluster)


def settings_from(arguments: argparse.Namespace, target: str) -> DeviceSettings:
    """The settings of ``device_groups`` as the options give them. Raises ConfigurationError."""
    places = places_from(arguments, target)
    own: list[Any] = [read_options(group, arguments) for group in _own_groups()]
    return read_options(
        DeviceSettings,
        arguments,
        ipaddresses=places.ipaddresses,
        boards=places.boards,
        cluster=places.cluster,
        own=OwnGroups(*own),
    )


def add_device_options(parser: argparse.ArgumentParser, title: str, *before: type) -> None:
    """Add the options of the groups ``before``, and those that say where boards are, to a command that only looks at
    boards."""
    add_options(parser, title, *before, *device_groups(), without=TUNING_ONLY)
    parser.set_defaults(emulate=False, estimate=False)
