"""Compiles single kernels for this machine and runs them on NumPy arrays between guard regions.

Every buffer ends where an unreadable page begins, so an over-read or over-write at the end crashes; what lies in
gaps (between pixels and rows) is NaN in inputs, where it would spread into the output, and a pattern in outputs,
which must survive.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ellopt.codegen.convolution.kernel import Kernel, KernelSite
from ellopt.codegen.sources import C_FOLDERS, c_file
from ellopt.targets import CPUS

#: One processor for each way to cut kernels.
CODE_CPUS = tuple({(cpu.lanes, cpu.registers): cpu for cpu in CPUS.values()}.values())
CPU_BY_LANES = {CPUS[name].lanes: CPUS[name] for name in ("scalar", "x86-64", "x86-64-v3", "x86-64-v4")}

FloatArray = npt.NDArray[np.float32]

INCLUDES = tuple(f"-I{folder}" for folder in C_FOLDERS)
POOL = c_file("ellopt_pool.c")
_PATTERN = float(np.float32(-12345.678))
FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")


@cache
def _build_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ellopt-kernels-")


class _Arguments(ctypes.Structure):
    _fields_ = (
        ("input", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("residual", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("separable_block_depth", ctypes.c_int),
        ("nonseparable_filter_block_depth", ctypes.c_int),
        ("nonseparable_channel_depth", ctypes.c_int),
    )


class GuardedArray:
    """Floats whose last one is directly before an unreadable page (``aligned``: as near as 64 bytes allow)."""

    def __init__(self, size: int, fill: float, aligned: bool = False) -> None:
        page = mmap.PAGESIZE
        nbytes = size * 4
        room = -(-nbytes // page) * page
        self._map = mmap.mmap(-1, room + page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address + room), ctypes.c_size_t(page), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
        offset = room - nbytes
        if aligned:
            offset -= offset % 64
        self.array: FloatArray = np.frombuffer(self._map, np.float32, size, offset)
        self.array[:] = fill
        self.address = address + offset


@dataclass(frozen=True)
class CompiledKernel:
    kernel: Kernel
    name: str
    library: ctypes.CDLL

    def function(self) -> ctypes._NamedFuncPointer:
        return getattr(self.library, self.name)  # type: ignore[no-any-return]


def compile_kernels(
    kernels: Sequence[Kernel], flags: Sequence[str] = ("-mcpu=native",), pool: Path = POOL
) -> list[CompiledKernel]:
    """All ``kernels`` in one shared library, for this machine, with this source of the pool's functions."""
    sources = [k.source(f"kernel_{i}") for i, k in enumerate(kernels)]
    digest = hashlib.sha256("\0".join([*sources, *flags, str(pool)]).encode()).hexdigest()[:16]
    folder = Path(_build_folder().name)
    library = folder / f"{digest}.so"
    if not library.exists():
        files = []
        for i, source in enumerate(sources):
            path = folder / f"{digest}_{i}.c"
            path.write_text(source)
            files.append(str(path))
        command = [
            *(sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", *FLAGS, *flags, "-Wall", "-Wundef", "-Werror"),
            *(*INCLUDES, *files, str(pool), "-lm", "-o", str(library)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(library))
    loaded.ell_pool_create.restype = ctypes.c_void_p
    loaded.ell_pool_destroy.argtypes = (ctypes.c_void_p,)
    return [CompiledKernel(k, f"kernel_{i}", loaded) for i, k in enumerate(kernels)]


@dataclass(frozen=True)
class ConvolutionCase:
    """Data of one site: input [rows, columns, channels] with padding, weights, bias, residual or None."""

    site: KernelSite
    input: FloatArray
    weights: FloatArray
    bias: FloatArray
    residual: FloatArray | None


def draw_case(site: KernelSite, seed: int = 0) -> ConvolutionCase:
    """Random data for ``site``, scaled so that outputs are of order one."""
    random = np.random.default_rng(seed)
    wide, (down, right) = site.field_columns or site.field, site.strides
    rows = (site.out_rows - 1) * down + (site.field - 1) * site.row_dilation + 1
    columns = (site.out_columns - 1) * right + (wide - 1) * site.column_dilation + 1
    depth = 1 if site.depthwise else site.channels
    scale = 1.0 / np.sqrt(depth * site.field * wide)
    shape = (site.filters, site.field, wide, depth)
    return ConvolutionCase(
        site,
        random.standard_normal((rows, columns, site.channels)).astype(np.float32),
        (random.standard_normal(shape) * scale).astype(np.float32),
        random.standard_normal(site.filters).astype(np.float32),
        random.standard_normal((site.out_rows, site.out_columns, site.filters)).astype(np.float32)
        if site.residual
        else None,
    )


def reference(case: ConvolutionCase) -> FloatArray:
    """What the layer computes, in float64, by the definition."""
    site, (down, right) = case.site, case.site.strides
    sums = np.broadcast_to(case.bias.astype(np.float64), (site.out_rows, site.out_columns, site.filters)).copy()
    for ky in range(site.field):
        for kx in range(site.field_columns or site.field):
            patch = case.input[ky * site.row_dilation :: down, kx * site.column_dilation :: right]
            patch = patch[: site.out_rows, : site.out_columns].astype(np.float64)
            weights = case.weights[:, ky, kx].astype(np.float64)
            sums += patch * weights[:, 0] if site.depthwise else patch @ weights.T
    if case.residual is not None and not site.residual_last:
        sums += case.residual
    found = activate(sums, site.activation, site.leaky_factor)
    if case.residual is not None and site.residual_last:
        found = found + case.residual
    return found.astype(np.float32)


def plain_site(rows: int, columns: int, channels: int, filters: int, depthwise: bool = False) -> KernelSite:
    """A 3x3 layer without a border or gaps."""
    return KernelSite(
        out_rows=rows,
        out_columns=columns,
        channels=channels,
        filters=filters,
        field=3,
        stride=1,
        depthwise=depthwise,
        in_row_stride=(columns + 2) * channels,
        in_pixel_stride=channels,
        out_row_stride=columns * filters,
        out_pixel_stride=filters,
    )


def activate(x: npt.NDArray[np.float64], activation: str, leaky_factor: float) -> npt.NDArray[np.float64]:
    functions: dict[str, Callable[[], npt.NDArray[np.float64]]] = {
        "none": lambda: x,
        "relu": lambda: np.maximum(x, 0),
        "leaky_relu": lambda: np.where(x > 0, x, x * leaky_factor),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
        "hard_sigmoid": lambda: np.clip(0.2 * x + 0.5, 0, 1),
        "hard_tanh": lambda: np.clip(x, -1, 1),
    }
    return functions[activation]()


def _place(data: FloatArray, row_stride: int, pixel_stride: int, fill: float) -> tuple[GuardedArray, FloatArray]:
    """``data`` [rows, columns, channels] in a guarded buffer with these strides; the view of the data in it."""
    rows, columns, channels = data.shape
    guarded = GuardedArray((rows - 1) * row_stride + (columns - 1) * pixel_stride + channels, fill)
    view = np.lib.stride_tricks.as_strided(
        guarded.array, data.shape, (row_stride * 4, pixel_stride * 4, 4), writeable=True
    )
    view[:] = data
    return guarded, view


def run_kernel(compiled: CompiledKernel, case: ConvolutionCase, threads: int = 1, repeat: int = 1) -> FloatArray:
    """The output of the kernel [rows, columns, filters]; asserts that nothing else was written."""
    site, kernel = case.site, compiled.kernel
    inputs, _ = _place(case.input, site.in_row_stride, site.in_pixel_stride, np.nan)
    shape = (site.out_rows, site.out_columns, site.filters)
    outputs, view = _place(np.full(shape, np.nan, np.float32), site.out_row_stride, site.out_pixel_stride, _PATTERN)
    packed = kernel.pack(case.weights)
    assert packed.dtype == np.float32
    assert packed.ndim == 1
    weights = GuardedArray(packed.size, 0, aligned=True)
    weights.array[:] = packed
    bias = GuardedArray(-(-site.filters // 64) * 64, 0, aligned=True)
    bias.array[: site.filters] = case.bias
    workspace_floats = kernel.workspace_floats(threads)
    assert workspace_floats % 16 == 0
    workspace = GuardedArray(workspace_floats, np.nan, aligned=True) if workspace_floats else None
    residual = None
    if case.residual is not None:
        residual, _ = _place(case.residual, site.residual_row_stride, site.residual_pixel_stride, np.nan)
    pool = compiled.library.ell_pool_create(threads)
    arguments = _Arguments(
        inputs.address,
        outputs.address,
        residual.address if residual else None,
        weights.address,
        bias.address,
        workspace.address if workspace else None,
        pool,
        *kernel.depths,
    )
    for _ in range(repeat):
        compiled.function()(ctypes.byref(arguments))
    compiled.library.ell_pool_destroy(pool)
    result = view.copy()
    view[:] = _PATTERN
    assert (outputs.array == _PATTERN).all(), "written outside the output's own elements"
    return result


def assert_agrees(actual: FloatArray, case: ConvolutionCase, tolerance: float = 1e-4) -> None:
    """``actual`` is within ``tolerance`` of the reference, relative to its largest value."""
    expected = reference(case)
    error = float(np.max(np.abs(actual - expected)))
    assert error <= tolerance * max(1.0, float(np.max(np.abs(expected)))), f"off by {error} in {case.site}"
