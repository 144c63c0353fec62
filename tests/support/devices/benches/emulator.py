"""The smallest board under qemu-user."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ellopt.devices.settings import DeviceSettings
from tests.support.devices.benches import Bench


def emulated(request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Bench:
    return Bench(DeviceSettings(emulate=True, board_timeout=30.0), request.getfixturevalue("arm_bundle"))


BENCHES = {"emulated": emulated}
