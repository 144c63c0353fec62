"""Pooling on simulated 64-bit processors: right for every number of vectors of channels, and at memory's speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ellopt.app.estimating import make_simulator
from ellopt.core.deadline import Deadline
from ellopt.core.job import Job
from ellopt.core.options import ELL_DEFAULT
from ellopt.core.plan import Plan
from ellopt.devices.estimated import EstimatedDevice
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.networks import ModelMaker
from tests.support.simulated import needs_qemu

pytestmark = needs_qemu

_SECONDS = 300.0


def test_pooling_is_right_and_reads_streams(tmp_path: Path) -> None:
    """A tensor of 1.8 MB, of which Cortex-A72's caches hold half, takes no more than its bus does: 25 cycles a line."""
    maker = ModelMaker(np.random.default_rng(5))
    large = maker.pooling(maker.convolution(maker.input(124, 124, 1), 29, 1), "max", 2, 2)  # a rest of one channel
    wide = maker.convolution(large, 118, 1)  # 16, 8 and 4 vectors at once, one more and a rest of two channels
    for function, size, stride in (("mean", 2, 1), ("max", 3, 2), ("mean", 3, 2), ("max", 2, 1)):
        wide = maker.pooling(wide, function, size, stride)
    maker.output(wide)
    target, toolchain = find_target("pi4_64", 1), NativeToolchain()
    simulator = make_simulator(target, calibrated=False)
    device, model = EstimatedDevice(simulator), toolchain.prepare(maker.model())
    plan = Plan.uniform([layer.node_id for layer in toolchain.layers(model)], ELL_DEFAULT)
    bundle = toolchain.build(model, [plan], target, tmp_path, Deadline.after(_SECONDS))
    check = Job("check", (plan,))
    found = toolchain.read(bundle, check, device.run(bundle, toolchain.invoke(bundle, check), Deadline.after(_SECONDS)))
    assert found.checks
    assert all(one.passed for one in found.checks)
    profile = Job("profile", (plan,)).once
    execution = device.run(bundle, toolchain.invoke(bundle, profile), Deadline.after(_SECONDS))
    [samples] = toolchain.read(bundle, profile, execution).samples
    cycles = samples.nodes_ms[large][0] * simulator.mhz * 1000
    assert cycles < 25 * 124 * 124 * 29 / 16
