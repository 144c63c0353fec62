"""Kernels of single layers on a simulated processor: what they take, and what they give."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ellopt.app.estimating import make_simulator
from ellopt.codegen.convolution.kernel import Kernel, KernelSite
from ellopt.codegen.sources import C_FOLDERS, c_text
from ellopt.core.deadline import Deadline
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.devices.estimated import EstimatedDevice
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler
from tests.support.kernels import FloatArray

_SECONDS = 600.0


@cache
def _objects() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ellopt-simulated-kernels-")


_HEAD = """
#include <stdio.h>
#include <stdlib.h>
#include "ellopt_conv.h"
#include "simulated.h"
static float *floats(size_t count) {
    float *p = aligned_alloc(64, (4 * count + 4096) / 64 * 64);
    for (size_t i = 0; i < count; i++) p[i] = (float)((i * 2654435761u >> 7 & 1023) / 1024.0 - 0.5);
    return p;
}
int main(void) {
    FILE *file = fopen("result", "wb");
    long long before = 0, now = 0;
"""
_RUN = """
    {{
        void {name}(const ell_conv_args *);
        float *output = floats({output});
        ell_conv_args args = {{floats({input}), output, floats({residual}), floats({weights}), floats({bias}),
                              floats({workspace}), 0, {depths}}};
        simulate(SIMULATE_WARM, 0, 0);
        {name}(&args);
        {name}(&args);
        simulate(SIMULATE_READ, 0, 0);
        before = *simulated_clock();
        simulate(SIMULATE_MEASURE, 0, 0);
        {name}(&args);
        simulate(SIMULATE_READ, 0, 0);
        now = *simulated_clock() - before;
        simulate(SIMULATE_OFF, 0, 0);
        fwrite(&now, 8, 1, file);
        fwrite(output, 4, {output}, file);
    }}
"""
_TAIL = """
    fclose(file);
    return 0;
}
"""


@dataclass(frozen=True)
class Simulated:
    """What one kernel takes once caches have seen it, and its output on inputs that are always the same."""

    cycles: float
    output: FloatArray
    site: KernelSite

    @property
    def flop_a_cycle(self) -> float:
        """Multiplications and additions of the definition, whatever the kernel does instead."""
        return flops(self.site) / self.cycles


def flops(site: KernelSite) -> int:
    taps = site.field * (site.field_columns or site.field) * (1 if site.depthwise else site.channels)
    return 2 * site.out_rows * site.out_columns * site.filters * site.groups * taps


def simulate(
    target_name: str, kernels: Sequence[tuple[Kernel, KernelSite]], flags: Sequence[str] = ()
) -> list[Simulated]:
    """Each of ``kernels`` on one core of ``target_name``, compiled with ``flags`` besides the usual ones."""
    target = find_target(target_name, 1)
    compiler = Compiler(target, C_FOLDERS, Path(_objects().name))
    main = _HEAD
    sources = {"ellopt_pool.c": c_text("ellopt_pool.c")}
    sizes = []
    for i, (kernel, site) in enumerate(kernels):
        sources[f"k{i}"] = kernel.source(f"kernel_{i}")
        sizes.append(site.out_rows * site.out_row_stride)
        depth = 1 if site.depthwise else site.channels
        shape = (site.filters * site.groups, site.field, site.field_columns or site.field, depth)
        rows = (site.out_rows - 1) * site.strides[0] + (site.field - 1) * site.row_dilation + 1
        main += _RUN.format(
            name=f"kernel_{i}",
            output=sizes[-1],
            input=rows * site.in_row_stride + 64,
            residual=site.out_rows * (site.residual_row_stride or 1) + 64,
            weights=kernel.pack(np.zeros(shape, np.float32)).size,
            bias=site.filters * site.groups + 64,
            workspace=kernel.workspace_floats(1) + 16,
            depths=", ".join(map(str, kernel.depths)),
        )
    sources["main"] = main + _TAIL
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        deadline = Deadline.after(_SECONDS)
        compiler.link(compiler.objects(sources, deadline, flags).values(), directory / "program", deadline)
        simulator = make_simulator(target, calibrated=False)
        digest = target_name + "".join(sorted(sources.values())) + "".join(flags)
        bundle = Bundle(directory, digest, ("program",), "test", target, {})
        done = EstimatedDevice(simulator).run(bundle, Invocation(("program",), outputs=("result",)), deadline)
    assert done.exit_code == 0, done.stderr
    raw, found = done.outputs["result"], []
    for size, (_, site) in zip(sizes, kernels, strict=True):
        nanoseconds = int.from_bytes(raw[:8], "little")
        output = np.frombuffer(raw, np.float32, size, 8)
        raw = raw[8 + 4 * size :]
        found.append(Simulated(nanoseconds * simulator.mhz / 1000, output, site))
    return found
