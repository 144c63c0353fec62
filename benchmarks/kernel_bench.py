"""Runs kernels one after the other on this machine, in one process, and times each: the core of kernels.py."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ellopt.codegen.convolution.kernel import Kernel, KernelSite
from ellopt.codegen.emit import site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.sources import C_FOLDERS, c_file
from ellopt.core.shapes import ConvolutionShape
from ellopt.frontends.ell.read import read_model
from ellopt.targets import Cpu, find_target
from ellopt.toolchains.zig import cpu_of

TIMER = Path(__file__).parent / "kernel_timer.c"
FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-mcpu=native")
#: Compiled libraries of earlier runs; named by the hash of what is in them.
CACHE = Path(tempfile.gettempdir()) / "ellopt-kernel-bench"


class Arguments(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("input", "output", "residual", "weights", "bias", "workspace", "pool")),
        *((name, ctypes.c_int) for name in ("separable", "filter", "channel")),
    )


@dataclass(frozen=True)
class Place:
    """A convolution of a network: what it computes, and where in the network's memory, in floats."""

    name: str
    shape: ConvolutionShape
    site: KernelSite
    input: int
    output: int
    residual: int


@dataclass(frozen=True)
class Places:
    """All convolutions of a model in order, in memory as the deployed model has it."""

    convolutions: tuple[Place, ...]
    floats: int

    @classmethod
    def of_model(cls, path: Path, cpu: Cpu, cores: int) -> Places:
        network = lower(read_model(path))
        start: dict[str, int] = {"arena": 0}
        for place in ("input", "output"):
            start[place] = network.arena_floats + 16 * len(start)
        end = network.arena_floats + 64 + max(t.floats for t in network.tensors.values() if t.place != "arena")
        places = []
        for step in network.convolutions:
            site = site_of(network, step, cpu, cores)
            tensors = [network.tensors[name] for name in (*step.inputs, step.output)]
            offsets = [start.get(tensor.place, 0) + tensor.offset for tensor in tensors]
            padding = step.shape.padding * (site.in_row_stride + site.in_pixel_stride)
            residual = offsets[1] if step.residual else 0
            places.append(Place(step.name, step.shape, site, offsets[0] - padding, offsets[-1], residual))
        return cls(tuple(places), end)


def multiply_adds(site: KernelSite) -> int:
    depth = 1 if site.depthwise else site.channels
    return site.out_rows * site.out_columns * site.filters * site.field**2 * depth


def build(kernels: Sequence[Kernel]) -> ctypes.CDLL:
    """One library with ``kernels`` as kernel_0, kernel_1, ... and the timer."""
    sources = [kernel.source(f"kernel_{i}") for i, kernel in enumerate(kernels)]
    headers = [path.read_text() for folder in C_FOLDERS for path in sorted(folder.glob("*.[ch]"))]
    digest = hashlib.sha256("\0".join([*sources, *headers, TIMER.read_text()]).encode()).hexdigest()[:16]
    library = CACHE / f"{digest}.so"
    if not library.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            files = []
            for i, source in enumerate(sources):
                files.append(Path(folder) / f"kernel_{i}.c")
                files[-1].write_text(source)
            built = Path(folder) / "kernels.so"
            command = [
                *(
                    sys.executable,
                    "-m",
                    "ziglang",
                    "cc",
                    "-shared",
                    "-fPIC",
                    *FLAGS,
                    f"-DELL_LARGE_CACHES={int(cpu_of(find_target('host')).large_caches)}",
                    *(f"-I{folder}" for folder in C_FOLDERS),
                ),
                *(*map(str, files), str(TIMER), str(c_file("ellopt_pool.c")), "-lm", "-o", str(built)),
            ]
            subprocess.run(command, check=True)
            built.rename(library)
    loaded = ctypes.CDLL(str(library))
    loaded.ell_pool_create.restype = ctypes.c_void_p
    loaded.ell_pool_destroy.argtypes = (ctypes.c_void_p,)
    loaded.measure_peak.restype = ctypes.c_double
    loaded.round_trip.restype = ctypes.c_double
    return loaded


def host_peak() -> float:
    """GFLOP/s of one core, now: measured by multiply-adds of independent vectors."""
    return float(build(()).measure_peak())


def host_round_trip() -> float:
    """Nanoseconds in which a line of cache goes from one thread to another and back, now. On a machine whose cores
    share their last cache in groups it depends on which these are, and a virtual one is moved at any time."""
    return float(build(()).round_trip())


def _aligned(size: int) -> npt.NDArray[np.float32]:
    raw = np.zeros(size + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + size]


class Bench:
    """One kernel for every convolution of a network, ready to run. ``threads`` > 1 gives every kernel a pool."""

    def __init__(self, places: Places, kernels: Sequence[Kernel], threads: int = 1) -> None:
        self._library = build(kernels)
        self._pool = self._library.ell_pool_create(threads)
        random = np.random.default_rng(0)
        arena = _aligned(places.floats)
        workspace = _aligned(max(kernel.workspace_floats(threads) for kernel in kernels) + 16)
        self._keep = [arena, workspace]
        self._arguments = []
        for place, kernel in zip(places.convolutions, kernels, strict=True):
            site = place.site
            depth = 1 if site.depthwise else site.channels
            scale = 1.0 / np.sqrt(depth * site.field**2)
            weights = scale * random.standard_normal((site.filters, site.field, site.field, depth))
            packed = kernel.pack(weights.astype(np.float32))
            constants, bias = _aligned(packed.size), _aligned(site.filters + 64)
            constants[:] = packed
            self._keep += [constants, bias]
            base = arena.ctypes.data
            pointers = [base + 4 * offset for offset in (place.input, place.output, place.residual)]
            pointers += [array.ctypes.data for array in (constants, bias, workspace)]
            self._arguments.append(Arguments(*pointers, self._pool, *kernel.depths))
        arena[:] = random.standard_normal(arena.size)
        self._count = len(kernels)

    def run(self, passes: int) -> npt.NDArray[np.float64]:
        """Seconds [pass, kernel]; every pass runs all kernels in order."""
        functions = (ctypes.c_void_p * self._count)(
            *(ctypes.cast(getattr(self._library, f"kernel_{i}"), ctypes.c_void_p) for i in range(self._count))
        )
        pointers = (ctypes.POINTER(Arguments) * self._count)(*(ctypes.pointer(a) for a in self._arguments))
        times = np.zeros((passes, self._count), np.float64)
        self._library.time_kernels(functions, pointers, self._count, passes, ctypes.c_void_p(times.ctypes.data))
        return times

    def close(self) -> None:
        self._library.ell_pool_destroy(self._pool)
