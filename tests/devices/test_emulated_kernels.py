"""Every way to compute a convolution layer is right on the boards' CPUs, emulated.

The first build for a target also builds its C library, which takes a minute or two; after that a target takes
about twenty seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.base import DevicePool
from ellopt.devices.emulator import find_qemu
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.space.space import ModelSpace, SearchSpace, find_options_file, narrow
from ellopt.targets import Target, find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.networks import ModelMaker
from tests.support.paths import DATA

TARGETS = ("pi0", "pi3", "pi3_64")


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    found = find_target(request.param)
    try:
        find_qemu(found)
    except ConfigurationError as error:
        pytest.skip(f"{error} (Debian package qemu-user)")
    return found


@pytest.fixture(scope="module")
def pool(target: Target) -> Iterator[DevicePool]:
    with open_pool(DeviceSettings(emulate=True), target) as opened:
        yield opened


def odd_model() -> Model:
    """Sizes that divide nothing: full and depthwise, with and without stride, 1x1, 3x3 and 5x5."""
    maker = ModelMaker(np.random.default_rng(5))
    value = maker.reorder(maker.input(11, 9, 3), 1)
    value = maker.convolution(value, 13, 3, padding=1)
    value = maker.convolution(value, 37, 3, padding=1)
    value = maker.convolution(value, 0, 3, depthwise=True, padding=1)
    value = maker.convolution(value, 41, 3, padding=1)
    value = maker.convolution(value, 17, 3, 2)
    value = maker.convolution(value, 7, 1, padding=2)
    value = maker.convolution(value, 0, 5, 2, depthwise=True)
    maker.output(value)
    return maker.model()


def all_variants(space: ModelSpace) -> list[Plan]:
    """Plans that together give every layer each of its variants."""
    count = max(len(layer.variants) for layer in space.layers)
    return [
        Plan.of({layer.node_id: layer.variants[index % len(layer.variants)] for layer in space.layers})
        for index in range(count)
    ]


Checked = set[tuple[str, ConvolutionOptions]]


def check(model: Model, target: Target, pool: DevicePool, directory: Path) -> tuple[Checked, Sequence[str]]:
    """The layers and options that were checked, which are all that there are, and what was wrong."""
    toolchain = NativeToolchain()
    space = narrow(SearchSpace.load(find_options_file("default")), toolchain.layers(model), toolchain, target)
    plans = all_variants(space)
    bundle = toolchain.build(model, plans, target, directory, Deadline.after(900))
    job = Job("check", tuple(plans), threads=2)
    with pool.lease(Deadline.after(60)) as device:
        assert device.times == "emulated"
        result = toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(300)))
    checked = {(found.node_id, found.options) for found in result.checks if found.options}
    assert checked == {(layer.node_id, options) for layer in space.layers for options in layer.variants}
    return checked, [str(found) for found in result.checks if not found.passed]


def test_every_method_with_every_depth_on_odd_sizes(target: Target, pool: DevicePool, tmp_path: Path) -> None:
    checked, wrong = check(odd_model(), target, pool, tmp_path)
    assert wrong == []
    assert {options.method for _, options in checked} == {"simple", "unrolled", "winograd"}
    assert {options.parallelize for _, options in checked} == ({False, True} if target.cores > 1 else {False})
    depths = {options.depths for _, options in checked if options.method == "winograd"}
    assert len(depths) > 6


def test_a_model_gives_what_ell_recorded(target: Target, pool: DevicePool, tmp_path: Path) -> None:
    data = DATA
    toolchain = NativeToolchain()
    model = toolchain.prepare(read_model(data / "tiny16.ell"))
    space = narrow(SearchSpace.load(find_options_file("quick")), toolchain.layers(model), toolchain, target)
    plans = all_variants(space)
    bundle = toolchain.build(model, plans, target, tmp_path, Deadline.after(900))
    expected = np.load(data / "tiny16.expected.npy")
    with pool.lease(Deadline.after(60)) as device:
        for plan in plans:
            invocation = toolchain.invoke_predict(bundle, plan, np.load(data / "tiny16.input.npy"), 2)
            done = device.run(bundle, invocation, Deadline.after(60))
            found = toolchain.read_prediction(bundle, plan, done, 2).reshape(-1)
            assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max(), plan
