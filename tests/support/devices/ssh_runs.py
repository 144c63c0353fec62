"""Runs on an SSH server of ``tests.support.devices.ssh_setups``: a client that uses it, or is refused for good."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.devices.base import Device
from ellopt.devices.bundle import Invocation
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.targets import find_target
from tests.support.devices.bundles import leftovers, script_bundle
from tests.support.devices.pace import QUICK

HOST = find_target("host")


def configure(root: Path, text: str) -> None:
    (root / "client" / ".ssh" / "config").write_text(text)


def use(device: Device, root: Path, word: str = "x") -> None:
    """One run, up and back."""
    bundle = script_bundle(root / "bundle")
    invocation = Invocation(("./runner", "answer", word), {"job": b"job \0\xff "}, ("result",))
    execution = device.run(bundle, invocation, Deadline.after(30))
    assert execution.exit_code == 0
    assert execution.stdout == f"out {word}\n"
    assert execution.outputs["result"] == b"job \0\xff weights"


def lease_and_use(settings: DeviceSettings, root: Path, word: str = "x", times: int = 1) -> None:
    with open_pool(settings, HOST, QUICK) as pool, pool.lease(Deadline.after(30)) as device:
        for _ in range(times):
            use(device, root, word)
    assert pool.report().retries == 0
    assert leftovers(root / "board") == []


def refused(settings: DeviceSettings, *words: str) -> str:
    """What a run says of a board that will never do: at once, however long it would wait for one that may come."""
    patient = replace(settings, board_timeout=600.0)
    started = time.monotonic()
    with (
        open_pool(patient, HOST, QUICK) as pool,
        pytest.raises(ConfigurationError) as caught,
        pool.lease(Deadline.after(300)),
    ):
        pass
    assert time.monotonic() - started < 60
    assert pool.report().retries == 1, "tried once"
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)
