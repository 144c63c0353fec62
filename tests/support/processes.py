"""Processes and ports of this machine, as /proc and the kernel tell of them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(host: str, port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {host}:{port}")


def processes_in(directory: Path) -> list[int]:
    """The processes that work in or beneath ``directory``, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if Path(os.readlink(entry / "cwd").removesuffix(" (deleted)")).is_relative_to(directory):
                    found.append(int(entry.name))
    return found


def children_of(parent: int) -> list[int]:
    """The processes that ``parent`` started, and those that they started, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found
