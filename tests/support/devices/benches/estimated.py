"""A simulated processor."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ellopt.app.estimating import make_simulator
from ellopt.devices.settings import DeviceSettings
from tests.support.devices.benches import Bench


def estimated(request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Bench:
    bundle = request.getfixturevalue("aarch64_bundle")
    simulator = make_simulator(bundle.target)
    return Bench(DeviceSettings(simulator=simulator, parallel_run=1, board_timeout=30.0), bundle)


BENCHES = {"estimated": estimated}
