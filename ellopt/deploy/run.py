"""Running, timing and deploying one model: one plan, a bundle that holds that plan alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.core.job import Job
from ellopt.core.plan import Plan
from ellopt.deploy.check import check_plan
from ellopt.deploy.library import DeployedLibrary, compile_library, load_predictor
from ellopt.deploy.loaded import check_loaded
from ellopt.deploy.ports import Inputs, joined, parted
from ellopt.deploy.times import FIRST_PASSES, BenchResult, LayerTime, layer_times
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle
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
    "LayerTime",
    "bench",
    "check",
    "check_library",
    "compile_library",
    "load_predictor",
    "predict",
    "predict_all",
    "profile",
]

#: A device, or what leases one once the program is built; None: this machine, or the emulator.
UsedDevice = Device | Callable[[], AbstractContextManager[Device]] | None

_BUILD_SECONDS = 1800.0
_RUN_SECONDS = 600.0
_LONGEST_INTERVAL = 60_000.0


def predict(
    model: Model,
    values: Inputs,
    options: Plan | Path | None = None,
    target: Target | None = None,
    device: UsedDevice = None,
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
    device: UsedDevice = None,
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
        with used_device(device, target) as used:
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
    with _directory(None) as place, used_device(None, target) as device:
        return check_plan(toolchain, model, plan, target, device, place)


def check_library(library: DeployedLibrary, model: Model, options: Plan | Path | None, target: Target) -> None:
    """Check a finished library of ``model``: each step as ``check`` does, then what the library itself computes.

    One for a board is not loaded: there it is the same plan in a program that runs under the emulator. Raises as
    ``check`` and ``check_loaded``.
    """
    allowed = check(model, options, target)
    if target.is_host:
        check_loaded(library, NativeToolchain().prepare(model), allowed)


@contextmanager
def _built(
    model: Model, options: Plan | Path | None, target: Target, directory: Path | None
) -> Iterator[tuple[NativeToolchain, Model, Plan, Bundle]]:
    """A bundle that computes ``model`` by one plan, for the length of a ``with``."""
    toolchain = NativeToolchain()
    model = toolchain.prepare(model)
    plan = toolchain.valid_plan(model, _plan(model, options), target)
    with _directory(directory) as place:
        yield toolchain, model, plan, toolchain.build(model, [plan], target, place, Deadline.after(_BUILD_SECONDS))


def bench(
    model: Model,
    options: Plan | Path | None = None,
    threads: int = 0,
    iterations: int = 50,
    target: Target | None = None,
    device: UsedDevice = None,
    directory: Path | None = None,
    interval_ms: float = 0.0,
) -> BenchResult:
    """Time one model as it would be deployed: the first passes of a process, then ``iterations`` more.

    ``threads``: 0 means all cores of the target. ``interval_ms``: from the start of a pass to that of the next, as a
    camera would call it; 0: one after the other. Raises as ``predict``.
    """
    _require_passes(iterations, threads)
    if not 0 <= interval_ms <= _LONGEST_INTERVAL:
        raise ConfigurationError(f"--interval: must be 0 to {_LONGEST_INTERVAL:g} milliseconds, not {interval_ms:g}")
    target = target or find_target("host")
    passes = FIRST_PASSES + iterations
    with _built(model, options, target, directory) as (toolchain, model, plan, bundle):
        text, invocation = toolchain.invoke_bench(bundle, plan, threads, passes, interval_ms)
        with used_device(device, target) as used:
            seconds = _RUN_SECONDS + passes * interval_ms / 1000
            execution = used.run(bundle, invocation, Deadline.after(seconds))
            board = used.board
        records = toolchain.read_bench(bundle, text, execution)
    times = tuple((records.words[:, 2] / PICOSECONDS_PER_MS).tolist())
    return BenchResult(
        model.name, times[FIRST_PASSES:], text.threads, records.peak_bytes / 1e6, bundle.code_bytes, plan,
        first_ms=times[:FIRST_PASSES], interval_ms=interval_ms, board=board,
    )  # fmt: skip


def profile(
    model: Model,
    options: Plan | Path | None = None,
    threads: int = 0,
    iterations: int = 50,
    target: Target | None = None,
    device: UsedDevice = None,
    directory: Path | None = None,
) -> tuple[LayerTime, ...]:
    """What each node of a model takes, in order of computation; arguments and errors as ``bench``."""
    _require_passes(iterations, threads)
    target = target or find_target("host")
    with _built(model, options, target, directory) as (toolchain, model, plan, bundle):
        job = Job("profile", (plan,), warm_up=FIRST_PASSES, rounds=iterations, turn_warm_up=0, settle=False,
                  threads=threads, limit_seconds=_RUN_SECONDS / 2)  # fmt: skip
        with used_device(device, target) as used:
            execution = used.run(bundle, toolchain.invoke(bundle, job), Deadline.after(_RUN_SECONDS))
        [samples] = toolchain.read(bundle, job, execution).samples
        return layer_times(model, plan, samples, toolchain.fused_into(model))


def _require_passes(iterations: int, threads: int) -> None:
    if iterations < 1:
        raise ConfigurationError(f"at least one iteration is needed, not {iterations}")
    if threads < 0:
        raise ConfigurationError(f"the number of threads cannot be {threads}")


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
def used_device(device: UsedDevice, target: Target) -> Iterator[Device]:
    """``device``, or one of this machine or its emulator, for the length of a ``with``."""
    if callable(device):
        with device() as leased:
            yield leased
        return
    if device is not None:
        yield device
        return
    if not target.is_host:
        yield EmulatedDevice(target)
        return
    with LocalPool() as pool, pool.lease(Deadline.after(_RUN_SECONDS)) as local:
        yield local
