"""Running, timing and deploying one model: one plan, a bundle that holds that plan alone."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.core.plan import Plan
from ellopt.deploy.check import check_plan
from ellopt.deploy.library import DeployedLibrary, compile_library, load_predictor
from ellopt.deploy.loaded import check_loaded
from ellopt.deploy.ports import Inputs, joined, parted
from ellopt.devices.base import Device
from ellopt.devices.emulator import EmulatedDevice
from ellopt.devices.local import LocalPool
from ellopt.files.terminal import printable
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.space.options_file import plan_for
from ellopt.targets import Target, find_target
from ellopt.toolchains.native.job import PICOSECONDS_PER_MS
from ellopt.toolchains.native.toolchain import NativeToolchain

__all__ = [
    "BenchResult",
    "DeployedLibrary",
    "bench",
    "check",
    "check_library",
    "compile_library",
    "load_predictor",
    "predict",
    "predict_all",
]

_BUILD_SECONDS = 1800.0
_RUN_SECONDS = 600.0
_WARM_UP = 10


def predict(
    model: Model,
    values: Inputs,
    options: Plan | Path | None = None,
    target: Target | None = None,
    device: Device | None = None,
    directory: Path | None = None,
    threads: int = 0,
    check: bool = False,
) -> FloatArray:
    """The output of a model that has one; see ``predict_all``. Raises ConfigurationError where it has several."""
    found = predict_all(model, values, options, target, device, directory, threads, check)
    if len(found) != 1:
        raise ConfigurationError(f"{model.path} has {len(found)} outputs: {', '.join(map(printable, found))}")
    return next(iter(found.values()))


def predict_all(
    model: Model,
    values: Inputs,
    options: Plan | Path | None = None,
    target: Target | None = None,
    device: Device | None = None,
    directory: Path | None = None,
    threads: int = 0,
    check: bool = False,
) -> dict[str, FloatArray]:
    """The model's outputs by their names, computed by the native toolchain's code.

    ``values`` is the array of the only input, or has one by the name of each. Shapes and the order of axes are those of
    the model's file: rows x columns x channels of ELL's. ``options`` is a plan or a ``compile_options.json``; the
    default is what the model says, and ELL's default where it says nothing. ``device`` defaults to this machine,
    ``directory`` (where the bundle is built and kept) to a temporary one. ``check``: compare every step and the output
    first (see ``check_plan``). Raises ConfigurationError for an input of another size, BuildError, CandidateError and
    InfrastructureError.
    """
    target = target or find_target("host")
    toolchain = NativeToolchain()
    model = toolchain.prepare(model)
    array = joined(model, values)
    plan = toolchain.valid_plan(model, _plan(model, options), target)
    with _directory(directory) as place:
        bundle = toolchain.build(model, [plan], target, place, Deadline.after(_BUILD_SECONDS))
        invocation = toolchain.invoke_predict(bundle, plan, array, threads)
        with _device(device, target) as used:
            if check:
                given = array.reshape(model.input.output_layout.size)
                check_plan(toolchain, model, plan, target, used, place, given, threads)
            execution = used.run(bundle, invocation, Deadline.after(_RUN_SECONDS))
        return parted(model, toolchain.read_prediction(bundle, plan, execution, threads))


def check(model: Model, options: Plan | Path | None = None, target: Target | None = None) -> float:
    """Check how the native toolchain computes a model for ``target``, on this machine or its emulator.

    ``options`` as in ``predict``. Returns how far off the output may be (see ``check_plan``). Raises CandidateError,
    naming the nodes, where something is wrong.
    """
    target = target or find_target("host")
    toolchain = NativeToolchain()
    model = toolchain.prepare(model)
    plan = toolchain.valid_plan(model, _plan(model, options), target)
    with _directory(None) as place, _device(None, target) as device:
        return check_plan(toolchain, model, plan, target, device, place)


def check_library(library: DeployedLibrary, model: Model, options: Plan | Path | None, target: Target) -> None:
    """Check a finished library of ``model``: each step as ``check`` does, then what the library itself computes.

    One for a board is not loaded: there it is the same plan in a program that runs under the emulator. Raises as
    ``check`` and ``check_loaded``.
    """
    allowed = check(model, options, target)
    if target.is_host:
        check_loaded(library, NativeToolchain().prepare(model), allowed)


@dataclass(frozen=True)
class BenchResult:
    """Whole passes of one model in a fresh process, after a warm-up."""

    model: str
    samples_ms: tuple[float, ...]
    threads: int
    peak_rss_mb: float
    code_bytes: int
    plan: Plan

    @property
    def median_ms(self) -> float:
        return statistics.median(self.samples_ms)

    @property
    def min_ms(self) -> float:
        return min(self.samples_ms)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "median_ms": self.median_ms,
            "min_ms": self.min_ms,
            "samples_ms": list(self.samples_ms),
            "threads": self.threads,
            "peak_rss_mb": self.peak_rss_mb,
            "code_bytes": self.code_bytes,
            "options": {node_id: str(options) for node_id, options in self.plan.items()},
        }

    def summary(self) -> str:
        return (
            f"{self.model}: median {_digits(self.median_ms)} ms, min {_digits(self.min_ms)} ms of "
            f"{len(self.samples_ms)} on {self.threads} thread{'s' if self.threads > 1 else ''}; "
            f"peak memory {self.peak_rss_mb:.1f} MB, code {self.code_bytes / 1024:.0f} KiB"
        )


def _digits(ms: float) -> str:
    """Microseconds of a large model, four digits of one that takes less than that."""
    return f"{ms:.3f}" if ms >= 1 else f"{ms:.4g}"


def bench(
    model: Model,
    options: Plan | Path | None = None,
    threads: int = 0,
    iterations: int = 50,
    target: Target | None = None,
    device: Device | None = None,
    directory: Path | None = None,
) -> BenchResult:
    """Time one model as it would be deployed. ``threads``: 0 means all cores of the target. Raises as ``predict``."""
    if iterations < 1:
        raise ConfigurationError(f"at least one iteration is needed, not {iterations}")
    if threads < 0:
        raise ConfigurationError(f"the number of threads cannot be {threads}")
    target = target or find_target("host")
    toolchain = NativeToolchain()
    model = toolchain.prepare(model)
    plan = toolchain.valid_plan(model, _plan(model, options), target)
    with _directory(directory) as place:
        bundle = toolchain.build(model, [plan], target, place, Deadline.after(_BUILD_SECONDS))
        with _device(device, target) as used:
            text, invocation = toolchain.invoke_bench(bundle, plan, threads, _WARM_UP, iterations)
            execution = used.run(bundle, invocation, Deadline.after(_RUN_SECONDS))
        records = toolchain.read_bench(bundle, text, execution)
    samples = tuple((records.words[:, 2] / PICOSECONDS_PER_MS).tolist())
    return BenchResult(model.name, samples, text.threads, records.peak_bytes / 1e6, bundle.code_bytes, plan)


def _plan(model: Model, options: Plan | Path | None) -> Plan:
    return options if isinstance(options, Plan) else plan_for(model, options)


@contextmanager
def _directory(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="ellopt-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _device(device: Device | None, target: Target) -> Iterator[Device]:
    if device is not None:
        yield device
        return
    if not target.is_host:
        yield EmulatedDevice(target)
        return
    with LocalPool() as pool, pool.lease(Deadline.after(_RUN_SECONDS)) as local:
        yield local
