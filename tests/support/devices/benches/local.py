"""This machine."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ellopt.devices.settings import DeviceSettings
from tests.support.devices.benches import Bench
from tests.support.devices.bundles import script_bundle


def here(request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Bench:
    return Bench(DeviceSettings(), script_bundle(folder / "bundle"))


BENCHES = {"local": here}
