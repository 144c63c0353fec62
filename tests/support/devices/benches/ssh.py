"""Boards over SSH: OpenSSH's server, and a server of ours that shows what it was asked."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ellopt.devices.settings import DeviceSettings
from tests.support.devices.benches import Bench
from tests.support.devices.boards import PASSWORD, USER, Board
from tests.support.devices.bundles import script_bundle, short_directory
from tests.support.devices.openssh import openssh_server


def openssh(request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Bench:
    server = stack.enter_context(openssh_server(stack.enter_context(short_directory())))
    return Bench(server.settings(), script_bundle(folder / "bundle"), server.root / "board")


def board(request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Bench:
    place = folder / "board"
    found = Board("127.0.0.1", place)
    stack.callback(found.close)
    (folder / "known_hosts").write_text(found.known_hosts_line())
    settings = DeviceSettings(
        ipaddresses=(f"127.0.0.1:{found.port}",),
        username=USER,
        password=PASSWORD,
        known_hosts=folder / "known_hosts",
        state_directory=folder / "state",
        board_timeout=30.0,
    )
    return Bench(settings, script_bundle(folder / "bundle"), place, lambda: no_state(folder))


def no_state(folder: Path) -> None:
    assert not list((folder / "state").rglob("*.json"))


BENCHES = {"openssh": openssh, "board": board}
