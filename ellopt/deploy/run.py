"""Running, timing and deploying one model: one plan, a bundle that holds that plan alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.core.job import Job
from ellopt.core.plan import Plan
from ellopt.deploy.check import check_plan
from ellopt.deploy.library import DeployedLibrary, compile_library, load_predictor
from ellopt.deploy.loaded import check_loaded
from ellopt.deploy.ports import Inputs, joined, parted
from ellopt.deploy.run_settings import RUN_SECONDS, RunSettings, bundle_directory, used_device
from ellopt.deploy.times import FIRST_PASSES, BenchResult, LayerTime, layer_times
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle
from ellopt.files.terminal import printable
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.space.options_file import plan_for
from ellopt.targets import Target
from ellopt.toolchains.native.job import PICOSECONDS_PER_MS
from ellopt.toolchains.native.toolchain import NativeToolchain

__all__ = [
    "BenchResult",
    "DeployedLibrary",
    "LayerTime",
    "RunSettings",
    "bench",
    "check",
    "check_library",
    "compile_library",
    "load_predictor",
    "predict",
    "predict_all",
    "profile",
]

_BUILD_SECONDS = 1800.0
_LONGEST_INTERVAL = 60_000.0
_DEFAULT = RunSettings()


def predict(model: Model, values: Inputs, settings: RunSettings = _DEFAULT, check: bool = False) -> FloatArray:
    """The output of a model that has one; see ``predict_all``. Raises ConfigurationError where it has several."""
    found = predict_all(model, values, settings, check)
    if len(found) != 1:
        raise ConfigurationError(f"{model.path} has {len(found)} outputs: {', '.join(map(printable, found))}")
    return next(iter(found.values()))


def predict_all(
    model: Model, values: Inputs, settings: RunSettings = _DEFAULT, check: bool = False
) -> dict[str, FloatArray]:
    """The model's outputs by their names, computed by the native toolchain's code.

    ``values`` is the array of the only input, or has one by the name of each. Shapes and the order of axes are those of
    the model's file: rows x columns x channels of ELL's. ``check``: compare every step and the output first (see
    ``check_plan``). Raises ConfigurationError for an input of another size, BuildError, CandidateError and
    InfrastructureError.
    """
    runner = _Runner.of(model, settings)
    array = joined(runner.model, values)
    with runner.built(settings.directory) as (place, bundle), used_device(settings.device, runner.target) as device:
        if check:
            runner.check(device, place, array.reshape(runner.model.input.output_layout.size), settings.threads)
        invocation = runner.toolchain.invoke_predict(bundle, runner.plan, array, settings.threads)
        execution = device.run(bundle, invocation, Deadline.after(RUN_SECONDS))
        return parted(runner.model, runner.toolchain.read_prediction(bundle, runner.plan, execution, settings.threads))


def check(model: Model, settings: RunSettings = _DEFAULT) -> float:
    """Check how the native toolchain computes a model.

    Returns how far off the output may be (see ``check_plan``). Raises CandidateError, naming the nodes, where something
    is wrong.
    """
    runner = _Runner.of(model, settings)
    with bundle_directory(settings.directory) as place, used_device(settings.device, runner.target) as device:
        return runner.check(device, place, threads=settings.threads)


def check_library(library: DeployedLibrary, model: Model, options: Plan | Path | None, target: Target) -> None:
    """Check a finished library of ``model``: each step as ``check`` does, then what the library itself computes.

    One for a board is not loaded: there it is the same plan in a program that runs under the emulator. Raises as
    ``check`` and ``check_loaded``.
    """
    allowed = check(model, RunSettings(options, target))
    if target.is_host:
        check_loaded(library, NativeToolchain().prepare(model), allowed)


def bench(
    model: Model, settings: RunSettings = _DEFAULT, iterations: int = 50, interval_ms: float = 0.0
) -> BenchResult:
    """Time one model as it would be deployed: the first passes of a process, then ``iterations`` more.

    ``interval_ms``: from the start of a pass to that of the next, as a camera would call it; 0: one after the other.
    Raises as ``predict``.
    """
    _require_passes(iterations, settings.threads)
    if not 0 <= interval_ms <= _LONGEST_INTERVAL:
        raise ConfigurationError(f"--interval: must be 0 to {_LONGEST_INTERVAL:g} milliseconds, not {interval_ms:g}")
    passes = FIRST_PASSES + iterations
    runner = _Runner.of(model, settings)
    with runner.built(settings.directory) as (_, bundle):
        text, invocation = runner.toolchain.invoke_bench(bundle, runner.plan, settings.threads, passes, interval_ms)
        with used_device(settings.device, runner.target) as device:
            seconds = RUN_SECONDS + passes * interval_ms / 1000
            execution = device.run(bundle, invocation, Deadline.after(seconds))
            board = device.board
        records = runner.toolchain.read_bench(bundle, text, execution)
    times = tuple((records.words[:, 2] / PICOSECONDS_PER_MS).tolist())
    return BenchResult(
        model.name, times[FIRST_PASSES:], text.threads, records.peak_bytes / 1e6, bundle.code_bytes, runner.plan,
        first_ms=times[:FIRST_PASSES], interval_ms=interval_ms, board=board,
    )  # fmt: skip


def profile(model: Model, settings: RunSettings = _DEFAULT, iterations: int = 50) -> tuple[LayerTime, ...]:
    """What each node of a model takes, in order of computation; arguments and errors as ``bench``."""
    _require_passes(iterations, settings.threads)
    runner = _Runner.of(model, settings)
    with runner.built(settings.directory) as (_, bundle):
        job = Job("profile", (runner.plan,), warm_up=FIRST_PASSES, rounds=iterations, turn_warm_up=0, settle=False,
                  threads=settings.threads, limit_seconds=RUN_SECONDS / 2)  # fmt: skip
        with used_device(settings.device, runner.target) as device:
            execution = device.run(bundle, runner.toolchain.invoke(bundle, job), Deadline.after(RUN_SECONDS))
        [samples] = runner.toolchain.read(bundle, job, execution).samples
        return layer_times(runner.model, runner.plan, samples, runner.toolchain.fused_into(runner.model))


@dataclass(frozen=True)
class _Runner:
    """One plan of a model, as the native toolchain computes it for a target."""

    toolchain: NativeToolchain
    model: Model
    plan: Plan
    target: Target

    @classmethod
    def of(cls, model: Model, settings: RunSettings) -> _Runner:
        toolchain = NativeToolchain()
        model = toolchain.prepare(model)
        chosen = settings.options
        plan = chosen if isinstance(chosen, Plan) else plan_for(model, chosen)
        return cls(toolchain, model, toolchain.valid_plan(model, plan, settings.target), settings.target)

    @contextmanager
    def built(self, directory: Path | None) -> Iterator[tuple[Path, Bundle]]:
        """A bundle that computes the plan, and the directory in which it lies, for the length of a ``with``."""
        with bundle_directory(directory) as place:
            deadline = Deadline.after(_BUILD_SECONDS)
            yield place, self.toolchain.build(self.model, [self.plan], self.target, place, deadline)

    def check(self, device: Device, place: Path, given: FloatArray | None = None, threads: int = 0) -> float:
        return check_plan(self.toolchain, self.model, self.plan, self.target, device, place, given, threads)


def _require_passes(iterations: int, threads: int) -> None:
    if iterations < 1:
        raise ConfigurationError(f"at least one iteration is needed, not {iterations}")
    if threads < 0:
        raise ConfigurationError(f"the number of threads cannot be {threads}")
