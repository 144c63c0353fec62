"""Options that say where boards are, the same for every command that uses boards."""

from __future__ import annotations

import argparse
import os

from ellopt.commands.arguments import ArgumentGroup
from ellopt.devices.settings import DeviceSettings


def add_device_arguments(group: ArgumentGroup) -> None:
    """Addresses, cluster service, user and keys."""
    group.words("--ipaddress", metavar="ADDRESS", help="addresses of boards, if there is no cluster service")
    group.number("--ssh_port", default=22, help="port of the boards' SSH servers (default: 22)")
    group.value("--username", default="pi", help="user on the boards (default: pi)")
    group.value(
        "--password", help="that user's password; better in RPI_PASSWORD, or use keys (an option shows in 'ps')"
    )
    group.path("--key_file", help="private key for the boards (default: the agent's and the usual keys)")
    group.flag("--accept_new_host_keys", help="trust a board's host key the first time it is seen")
    group.value("--cluster", default=os.environ.get("RPI_CLUSTER"), help="address of the cluster service (RPI_CLUSTER)")
    group.value("--apikey", help="key for the cluster service; better in RPI_APIKEY")
    group.flag("--allow_insecure_cluster", help="allow http to a cluster service that is not on this machine")
    group.value("--platform_regex", help="picks boards of the cluster by platform (default: the target's)")


def secret(given: str | None, variable: str) -> str | None:
    """What was given, else what the environment holds."""
    return given or os.environ.get(variable) or None


def settings_from(arguments: argparse.Namespace) -> DeviceSettings:
    """The settings that the options of ``add_device_arguments`` give. Raises ConfigurationError."""
    cluster = arguments.cluster
    if arguments.ipaddress and cluster == os.environ.get("RPI_CLUSTER"):
        cluster = None  # an address given by hand goes before the environment
    return DeviceSettings(
        ipaddresses=tuple(arguments.ipaddress),
        ssh_port=arguments.ssh_port,
        username=arguments.username,
        password=secret(arguments.password, "RPI_PASSWORD"),
        key_files=() if arguments.key_file is None else (arguments.key_file,),
        accept_new_host_keys=arguments.accept_new_host_keys,
        cluster=cluster,
        apikey=secret(arguments.apikey, "RPI_APIKEY"),
        allow_insecure_cluster=arguments.allow_insecure_cluster,
        platform_regex=arguments.platform_regex,
    )
