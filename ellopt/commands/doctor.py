"""``ellopt doctor``: is everything there that is needed, and what to do if not."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.commands.arguments import ArgumentGroup
from ellopt.targets import find_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ellopt.doctor import Finding

_STYLES = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="check compiler, emulator, boards, MLflow and disk",
        description="Checks what a tuning run needs and says what to do where something is missing.",
    )
    group = ArgumentGroup(parser, "what to check")
    group.value("--target", default="host", help="the target that you want to tune for (default: host)")
    group.path("--output_path", "-o", default=Path("out"), help="where tuned models will go (default: out)")
    group.words("--ipaddress", metavar="ADDRESS", help="boards to reach over SSH")
    group.number("--ssh_port", default=22, help="port of the boards' SSH servers (default: 22)")
    group.value("--username", default="pi", help="user on the boards (default: pi)")
    group.value("--password", help="better in RPI_PASSWORD")
    group.path("--key_file", help="private key for the boards")
    group.flag("--accept_new_host_keys", help="trust a board's host key the first time it is seen")
    group.value("--cluster", default=os.environ.get("RPI_CLUSTER"), help="address of the cluster service")
    group.value("--apikey", help="better in RPI_APIKEY")
    group.flag("--allow_insecure_cluster", help="allow http to a cluster service that is not on this machine")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Show each finding as it comes. Returns 1 if something that is needed is missing."""
    failed = False
    for finding in _findings(arguments):
        word, style = _STYLES[finding.state]
        console.print(f"[{style}]{word:>8}[/]  [bold]{finding.subject}[/]: ", end="")
        console.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
        if finding.advice and finding.state != "ok":
            console.print(f"{'':>10}{finding.advice}", markup=False, highlight=False, soft_wrap=True)
        failed = failed or finding.state == "failed"
    return 1 if failed else 0


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    from ellopt import doctor

    target = find_target(arguments.target)
    yield from doctor.basic_findings(target, arguments.output_path)
    yield from doctor.tracking_findings()
    yield from doctor.device_findings(
        target,
        ipaddresses=tuple(arguments.ipaddress),
        ssh_port=arguments.ssh_port,
        username=arguments.username,
        password=arguments.password or os.environ.get("RPI_PASSWORD"),
        key_file=arguments.key_file,
        accept_new_host_keys=arguments.accept_new_host_keys,
        cluster=arguments.cluster,
        apikey=arguments.apikey or os.environ.get("RPI_APIKEY"),
        allow_insecure_cluster=arguments.allow_insecure_cluster,
    )
