"""Winograd's register tiles on simulated 64-bit processors: right for every number of tiles at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ellopt.app.estimating import make_simulator
from ellopt.core.deadline import Deadline
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.estimated import EstimatedDevice
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.networks import ModelMaker
from tests.support.simulated import needs_qemu

pytestmark = needs_qemu

_SECONDS = 300.0


def check(maker: ModelMaker, target_name: str, tiles: tuple[int, ...], directory: Path) -> None:
    """Each layer of ``maker``'s model is right with each of ``tiles``."""
    target, toolchain = find_target(target_name, 1), NativeToolchain()
    device, model = EstimatedDevice(make_simulator(target, calibrated=False)), toolchain.prepare(maker.model())
    layers = [layer.node_id for layer in toolchain.layers(model)]
    plans = tuple(Plan.uniform(layers, ConvolutionOptions("winograd", winograd_tile_size=tile)) for tile in tiles)
    bundle = toolchain.build(model, plans, target, directory, Deadline.after(_SECONDS))
    job = Job("check", plans)
    found = toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(_SECONDS)))
    assert len(found.checks) >= len(layers) * len(plans)
    assert [one for one in found.checks if not one.passed] == []


@pytest.mark.parametrize("target_name", ["pi4_64", "pi5"])
def test_every_number_of_tiles_at_once(target_name: str, tmp_path: Path) -> None:
    """Layers of 12x12 to 6x6 outputs, whose tiles are as many at once as registers hold, and fewer."""
    maker = ModelMaker(np.random.default_rng(7))
    value = maker.convolution(maker.input(14, 14, 5), 24, 3)
    for filters in (20, 22, 12):
        value = maker.convolution(value, filters, 3)
    maker.output(value)
    check(maker, target_name, (2, 4), tmp_path)


@pytest.mark.parametrize("target_name", ["pi4_64", "pi5"])
def test_weights_that_are_derived(target_name: str, tmp_path: Path) -> None:
    """Layers of 8x16 and 6x14 outputs, whose tiles do not reach beyond the edge, and do."""
    maker = ModelMaker(np.random.default_rng(8))
    value = maker.convolution(maker.input(10, 18, 5), 22, 3)
    maker.output(maker.convolution(value, 13, 3))
    check(maker, target_name, (44,), tmp_path)
