"""What boards of the tests are reached through: SSH servers and a cluster service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ellopt.devices.cluster import client as cluster
from tests.support.devices.bundles import short_directory
from tests.support.devices.cluster import ONE, TWO, ClusterService


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a server, and a home without SSH agent for the client."""
    if (zig := Path("~/.cache/zig").expanduser()).is_dir() and "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(zig))  # the C library is built once
    with short_directory() as directory:
        (directory / "client" / ".ssh").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(directory / "client"))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield directory


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterService]:
    """A cluster service with two machines, which a client asks again without pauses."""
    monkeypatch.setattr(cluster, "PAUSE_SECONDS", 0.01)
    with ClusterService([ONE, TWO]) as running:
        yield running
