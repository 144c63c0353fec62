"""Kernels of single layers for another processor, run by qemu-user on data that a test gives."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ellopt.codegen.convolution.kernel import Kernel
from ellopt.codegen.sources import C_FOLDERS, c_text
from ellopt.core.deadline import Deadline
from ellopt.targets import Target
from ellopt.toolchains.zig import Compiler
from tests.support.kernels import ConvolutionCase, FloatArray

_SECONDS = 600.0
#: Whether input, output and residual are float16.
Halves = tuple[bool, bool, bool]
_HEAD = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ellopt_conv.h"
#include "ellopt_pool.h"
/* `given` floats from the file, aligned; room for `room` of which the others are NaN, in float16, too. */
static float *floats(FILE *file, size_t given, size_t room) {
    float *p = aligned_alloc(64, (4 * room + 64) / 64 * 64);
    memset(p, 0xff, 4 * room);
    if (fread(p, 4, given, file) != given) abort();
    return p;
}
int main(void) {
    FILE *data = fopen("data", "rb"), *result = fopen("result", "wb");
    ell_pool *pool = ell_pool_create(3);
"""
_RUN = """
    {{
        void {name}(const ell_conv_args *);
        const float *input = floats(data, {input}, {input}), *weights = floats(data, {weights}, {weights});
        const float *bias = floats(data, {bias}, {bias}), *residual = floats(data, {residual}, {residual});
        for (int i = 0; i < 2; i++) {{
            float *output = floats(data, 0, {output});
            ell_conv_args args = {{input, output, residual, weights, bias, floats(data, 0, {workspace}), i ? pool : 0,
                                  {depths}, {halves}}};
            {name}(&args);
            fwrite(output, 4, {output}, result);
        }}
    }}
"""


def emulate(
    target: Target, kernels: Sequence[tuple[Kernel, ConvolutionCase]], place: Path, halves: Sequence[Halves] = ()
) -> list[tuple[FloatArray, FloatArray]]:
    """The output buffers of each kernel on its data, on one thread and on three: out_rows x out_row_stride values, NaN
    where nothing was written. Gaps between pixels and rows of the input are NaN. ``halves`` says of each kernel whether
    its input, output and residual are float16."""
    main, sources, data = _HEAD, {"ellopt_pool.c": c_text("ellopt_pool.c")}, b""
    names: dict[str, str] = {}  # of kernels, by what the compiler sees of them
    halves = halves or [(False, False, False)] * len(kernels)
    for i, ((kernel, case), (half_input, _, half_residual)) in enumerate(zip(kernels, halves, strict=True)):
        site = case.site
        spread = _spread(case.input, site.in_row_stride, site.in_pixel_stride)
        given = [_as_halves(spread) if half_input else spread, kernel.pack(case.weights)]
        given.append(np.pad(case.bias, (0, -case.bias.size % 64)))
        residual = np.zeros(1, np.float32) if case.residual is None else case.residual
        given.append(
            residual
            if case.residual is None
            else _spread(residual, site.residual_row_stride, site.residual_pixel_stride)
        )
        if half_residual:
            given[-1] = _as_halves(given[-1])
        data += b"".join(values.astype("<f4").tobytes() for values in given)
        sizes = dict(zip(("input", "weights", "bias", "residual"), (values.size for values in given), strict=True))
        name = names.setdefault(kernel.source(""), f"kernel_{i}")
        sources[name] = kernel.source(name)
        main += _RUN.format(
            name=name, output=site.out_rows * site.out_row_stride, workspace=kernel.workspace_floats(3) + 16,
            depths=", ".join(map(str, kernel.depths)), halves=", ".join(str(int(each)) for each in halves[i]), **sizes,
        )  # fmt: skip
    sources["main"] = main + "    fclose(result);\n    return 0;\n}\n"
    compiler, deadline = Compiler(target, C_FOLDERS, place / "objects"), Deadline.after(_SECONDS)
    with tempfile.TemporaryDirectory(dir=place) as name:
        directory = Path(name)
        compiler.link(compiler.objects(sources, deadline).values(), directory / "program", deadline)
        (directory / "data").write_bytes(data)
        command = (target.qemu, "-cpu", target.qemu_cpu, "./program")
        subprocess.run(command, cwd=directory, timeout=_SECONDS, check=True)
        raw, found = np.fromfile(directory / "result", "<f4"), []
    for (_, case), (_, half_output, _) in zip(kernels, halves, strict=True):
        size = case.site.out_rows * case.site.out_row_stride
        alone, shared = raw[:size], raw[size : 2 * size]
        if half_output:
            alone, shared = (one.view("<f2")[:size].astype(np.float32) for one in (alone, shared))
        found.append((alone, shared))
        raw = raw[2 * size :]
    return found


def _as_halves(values: FloatArray) -> FloatArray:
    """Two float16 in the place of a float32."""
    return np.pad(values.astype("<f2"), (0, values.size % 2)).view("<f4")


def written(buffer: FloatArray, case: ConvolutionCase) -> FloatArray:
    """The output [row, column, filter] in a buffer that ``emulate`` gave."""
    site = case.site
    rows = buffer.reshape(site.out_rows, site.out_row_stride)[:, : site.out_columns * site.out_pixel_stride]
    return rows.reshape(site.out_rows, site.out_columns, site.out_pixel_stride)[..., : site.filters]


def _spread(values: FloatArray, row_stride: int, pixel_stride: int) -> FloatArray:
    """[row, column, channel] with these distances, NaN between."""
    rows, columns, channels = values.shape
    found = np.full((rows, row_stride), np.nan, np.float32)
    pixels = np.full((rows, columns, pixel_stride), np.nan, np.float32)
    pixels[..., :channels] = values
    found[:, : columns * pixel_stride] = pixels.reshape(rows, -1)
    return found.reshape(-1)
