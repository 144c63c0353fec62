"""A board that a cluster service lends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ellopt.devices.settings import DeviceSettings
from tests.support.devices.benches import Bench
from tests.support.devices.boards import PASSWORD, USER, Board
from tests.support.devices.bundles import script_bundle
from tests.support.devices.cluster import API_KEY, ClusterService


def cluster(request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Bench:
    place = folder / "board"
    board = Board("127.0.0.1", place)
    stack.callback(board.close)
    (folder / "known_hosts").write_text(board.known_hosts_line())
    service = stack.enter_context(ClusterService(["127.0.0.1"]))

    def given_back() -> None:
        assert service.locked == []
        assert service.problems == []
        assert not list((folder / "state").rglob("*.json"))

    settings = DeviceSettings(
        cluster=service.url,
        apikey=API_KEY,
        ssh_port=board.port,
        username=USER,
        password=PASSWORD,
        platform_regex="ARMv7",
        known_hosts=folder / "known_hosts",
        state_directory=folder / "state",
        board_timeout=30.0,
    )
    return Bench(settings, script_bundle(folder / "bundle"), place, given_back)


BENCHES = {"cluster": cluster}
