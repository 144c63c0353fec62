"""Options that say where boards are, the same for every command that uses boards."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass

from ellopt.cli.arguments import ArgumentGroup
from ellopt.core.errors import ConfigurationError
from ellopt.devices.board_lists import read_board_list
from ellopt.devices.settings import DeviceSettings


def add_device_arguments(group: ArgumentGroup) -> None:
    """Addresses, cluster service, user and keys."""
    group.words(
        "--ipaddress",
        metavar="ADDRESS",
        help="boards, if there is no cluster service: [user@]host[:port], or names that ~/.ssh/config knows",
    )
    group.path("--boards", help="a file that lists boards, an address a line")
    group.number("--ssh_port", help="port of the boards' SSH servers (default: what ~/.ssh/config says, or 22)")
    group.value("--username", help="user on the boards (default: what ~/.ssh/config says, or pi)")
    group.value(
        "--password", help="that user's password; better in RPI_PASSWORD, or use keys (an option shows in 'ps')"
    )
    group.path("--key_file", help="private key for the boards (default: the agent's and the usual keys)")
    group.flag("--accept_new_host_keys", help="trust a board's host key the first time it is seen")
    group.value(
        "--remote_dir",
        metavar="PATH",
        help="folder on the boards for temporary files, where programs may run (default: the first that will do)",
    )
    group.value("--cluster", help="address of the cluster service (RPI_CLUSTER)")
    group.value("--apikey", help="key for the cluster service; better in RPI_APIKEY")
    group.flag("--allow_insecure_cluster", help="allow http to a cluster service that is not on this machine")
    group.value("--platform_regex", help="picks boards of the cluster by platform (default: the target's)")


def secret(given: str | None, variable: str) -> str | None:
    """What was given, else what the environment holds."""
    return given or os.environ.get(variable) or None


@dataclass(frozen=True)
class BoardPlaces:
    """Where boards are: addresses, or a cluster service, or neither."""

    ipaddress: tuple[str, ...]
    cluster: str | None


def places_from(arguments: argparse.Namespace, target: str) -> BoardPlaces:
    """Where the options, and RPI_CLUSTER where they say nothing, put the boards.

    Raises ConfigurationError for options that contradict each other: what is asked for is never dropped silently.
    """
    emulate = bool(getattr(arguments, "emulate", False))
    listed = read_board_list(arguments.boards) if arguments.boards is not None else ()
    ipaddress = (*arguments.ipaddress, *listed)
    if target == "host":
        asked = (("--ipaddress", arguments.ipaddress), ("--boards", listed), ("--cluster", arguments.cluster))
        for option, given in asked:
            if given:
                raise ConfigurationError(
                    f"--target host and {option} contradict each other: host is this machine. Give the boards' "
                    "--target ('ellopt targets' lists them), or leave the boards out"
                )
        if emulate:
            raise ConfigurationError(
                "--target host and --emulate contradict each other: host is this machine, which needs no emulator. "
                "Give the --target to emulate ('ellopt targets' lists them), or leave --emulate out"
            )
        return BoardPlaces((), None)
    cluster = arguments.cluster
    estimate = bool(getattr(arguments, "estimate", False))
    if cluster is None and not ipaddress and not emulate and not estimate:
        cluster = os.environ.get("RPI_CLUSTER") or None
    if cluster and ipaddress:
        option = "--ipaddress" if arguments.ipaddress else "--boards"
        raise ConfigurationError(f"{option} and --cluster exclude each other: give the boards one way only")
    return BoardPlaces(ipaddress, cluster)


def settings_from(arguments: argparse.Namespace, target: str) -> DeviceSettings:
    """The settings that the options of ``add_device_arguments`` give. Raises ConfigurationError."""
    places = places_from(arguments, target)
    return DeviceSettings(
        ipaddresses=places.ipaddress,
        ssh_port=arguments.ssh_port,
        username=arguments.username,
        password=secret(arguments.password, "RPI_PASSWORD"),
        key_files=() if arguments.key_file is None else (arguments.key_file,),
        accept_new_host_keys=arguments.accept_new_host_keys,
        cluster=places.cluster,
        apikey=secret(arguments.apikey, "RPI_APIKEY"),
        allow_insecure_cluster=arguments.allow_insecure_cluster,
        platform_regex=arguments.platform_regex,
        remote_dir=arguments.remote_dir,
    )
