"""One kernel may serve several depths that need different room to work in."""

from __future__ import annotations

import numpy as np

from ellopt.codegen.emit import site_of
from ellopt.codegen.lower import lower
from ellopt.core.options import ConvolutionOptions
from ellopt.targets import find_target
from ellopt.toolchains.native.build import kernels_of
from ellopt.toolchains.zig import cpu_of
from tests.support.networks import ModelMaker


def test_a_shared_kernel_has_room_for_each_of_its_depths() -> None:
    maker = ModelMaker(np.random.default_rng(1))
    value = maker.convolution(maker.reorder(maker.input(11, 9, 3), 1), 13, 3)
    maker.output(value)
    network = lower(maker.model())
    (step,) = network.convolutions
    target = find_target("pi3")
    site = site_of(network, step, cpu_of(target), target.cores)
    all_depths = [ConvolutionOptions("winograd", False, 0, filters, 0) for filters in (0, 1, 2, 4)]
    alone = [v.kernel.thread_floats for o in all_depths for v in kernels_of(step, site, [o]).values()]
    together = kernels_of(step, site, all_depths)
    assert len(set(alone)) > 1
    assert len(together) == 1
    assert next(iter(together.values())).kernel.thread_floats == max(alone)
