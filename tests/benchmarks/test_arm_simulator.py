"""What a simulator is told of a runtime's code is kept, and is not mistaken for that of another layout or core."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import arm_simulator
from benchmarks.arm_userland import Userland
from ellopt.estimate.cores import core_of
from ellopt.estimate.qemu import Qemu
from ellopt.estimate.simulator import Simulator
from ellopt.targets import find_target


def test_a_kept_table_is_of_one_core_and_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    userland = Userland(tmp_path / "root", tmp_path / "sites")
    (tmp_path / "sites/ncnn").mkdir(parents=True)
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    without_code = bytearray(64)
    without_code[:6], without_code[18] = b"\x7fELF\x02\x01", 183  # of 64 bits, for ARM
    (tmp_path / "root/usr/bin/python3.11").write_bytes(without_code)

    def told(target: str) -> bytes:
        it = find_target(target, 1)
        simulator = Simulator(it, core_of(it), Qemu("qemu-aarch64", (7, 2), 1), tmp_path / "plugin.so")
        return arm_simulator.peers_table(simulator, userland, "ncnn", tmp_path)

    first = told("pi5")
    assert first == told("pi5") != told("pi3_64")
    monkeypatch.setattr(arm_simulator, "MAGIC", b"ANOTHER1")
    for kept in (tmp_path / "tables").iterdir():
        kept.write_bytes(b"of an earlier layout")
    assert told("pi5") == first
