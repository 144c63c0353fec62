"""Options that say where boards are, the same for every command that uses boards."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ellopt.app.asked import device_groups, device_settings
from ellopt.cli.options import add_options, given_options
from ellopt.core.settings import setting
from ellopt.devices.settings import DeviceSettings

if TYPE_CHECKING:
    from ellopt.app.options import BoardOptions

#: fields of DeviceSettings that say how boards are measured on, not where they are
TUNING_ONLY = ("parallel_run", "board_timeout", "fix_frequency", "emulate", "estimate")


@dataclass(frozen=True)
class PatienceSettings:
    """How long a program that runs once waits for its board."""

    board_timeout: float | None = setting(
        None, "how long to wait for a board", metavar="SECONDS", default_text="30 at an address, 600 in a cluster"
    )


def settings_from(arguments: argparse.Namespace, target: str) -> DeviceSettings:
    """The settings of ``device_groups`` as the options give them. Raises ConfigurationError."""
    return device_settings(given_options(arguments, *device_groups()), target)


def add_device_options(parser: argparse.ArgumentParser, title: str, *before: type) -> None:
    """Add the options of the groups ``before``, and those that say where boards are, to a command that only looks at
    boards."""
    add_options(parser, title, *before, *device_groups(), without=TUNING_ONLY)


def add_running_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say on which board a program runs, or that it runs under the emulator."""
    without = ("parallel_run", "board_timeout", "fix_frequency", "estimate")
    add_options(parser, "where to run", *device_groups(), without=without)
    add_options(parser, "how long to wait", PatienceSettings)


def boards_from(arguments: argparse.Namespace) -> BoardOptions:
    """What these options say, as Python programs say it."""
    return cast("BoardOptions", given_options(arguments, *device_groups()))
