"""Runs the loops and networks of a calibration on a board and on the simulated processor, and keeps the factor."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from pathlib import Path

from ellopt.app.environment import now
from ellopt.app.estimating import make_simulator
from ellopt.codegen.sources import C_FOLDERS
from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.devices.estimated import EstimatedDevice
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.estimate import calibration
from ellopt.estimate.calibration.networks import calibration_networks
from ellopt.estimate.calibration.store import Calibration, keep
from ellopt.files.user_dirs import state_directory
from ellopt.targets import Target
from ellopt.toolchains.native.toolchain import NativeToolchain
from ellopt.toolchains.object_cache import object_cache
from ellopt.toolchains.zig import Compiler

_SECONDS = 600.0
_METHODS = ("unrolled", "winograd")
_RESULT = "result.txt"


def calibrate(settings: DeviceSettings, target: Target) -> tuple[Calibration, Path]:
    """Compare a board that ``settings`` name with the estimate for ``target``; what was found, and where it is kept.

    Raises ConfigurationError for a target that is not modelled or without boards, InfrastructureError for a board that
    fails or takes what it cannot, BuildError.
    """
    simulated = EstimatedDevice(make_simulator(target, calibrated=False))
    with tempfile.TemporaryDirectory(prefix="ellopt-calibrate-") as name, open_pool(settings, target) as pool:
        work = _Work(target, Path(name))
        estimates = work.times(simulated)
        with pool.lease(Deadline.after(settings.board_timeout)) as device:
            measured, board = work.times(device), device.board
    ratios = {name: measured[name] / estimates[name] for name in estimates}
    try:
        found = Calibration(target.name, board, ratios, now())
    except ValueError as error:
        raise InfrastructureError(f"{board} is no {target.name} by its times: {error}") from error
    return found, keep(settings.state_directory or state_directory(), found)


class _Work:
    """The programs, built once; ``times`` runs them on a device."""

    def __init__(self, target: Target, directory: Path) -> None:
        self._target, self._toolchain = target, NativeToolchain()
        deadline = Deadline.after(_SECONDS)
        self._loops = _loops(target, directory / "loops", deadline)
        self._networks: dict[str, tuple[Bundle, dict[str, Plan]]] = {}
        for name, network in calibration_networks().items():
            model = self._toolchain.prepare(network)
            layers = self._toolchain.layers(model)
            plans = {
                method: self._toolchain.valid_plan(
                    model, Plan.uniform([layer.node_id for layer in layers], ConvolutionOptions(method)), target
                )
                for method in _METHODS
            }
            bundle = self._toolchain.build(model, list(plans.values()), target, directory, deadline)
            self._networks[name] = (bundle, plans)

    def times(self, device: Device) -> dict[str, float]:
        """Nanoseconds by name of loop, or of network and method. Raises InfrastructureError, CandidateError."""
        execution = device.run(
            self._loops, Invocation(("./loops", _RESULT), outputs=(_RESULT,)), Deadline.after(_SECONDS)
        )
        if execution.exit_code != 0:
            raise InfrastructureError(f"{device.name}: the loops end with {execution.exit_code} {execution.stderr}")
        found = _read_loops(device, execution.outputs.get(_RESULT, b""))
        for name, (bundle, plans) in self._networks.items():
            job = Job("bench", tuple(plans.values()), warm_up=2, rounds=15, turn_warm_up=1, threads=1)
            if device.times == "estimated":
                job = job.once
            execution = device.run(bundle, self._toolchain.invoke(bundle, job), Deadline.after(_SECONDS))
            result = self._toolchain.read(bundle, job, execution)
            for method, samples in zip(plans, result.samples, strict=True):
                found[f"{name}, {method}"] = 1e6 * statistics.median(samples.total_ms)
        return found


def _loops(target: Target, directory: Path, deadline: Deadline) -> Bundle:
    directory.mkdir()
    source = Path(calibration.__file__).with_name("loops.c").read_text(encoding="utf-8")
    compiler = Compiler(target, C_FOLDERS, object_cache(directory / "objects"), 1)
    program = directory / "loops"
    compiler.link(compiler.objects({"loops": source}, deadline).values(), program, deadline)
    digest = hashlib.sha256(program.read_bytes()).hexdigest()[:32]
    return Bundle(directory, digest, ("loops",), "calibration", target, {})


def _read_loops(device: Device, text: bytes) -> dict[str, float]:
    found = {}
    for line in text.decode(errors="replace").splitlines():
        nanoseconds, _, name = line.partition(" ")
        if not nanoseconds.isdigit() or int(nanoseconds) == 0:
            raise InfrastructureError(f"{device.name}: what came back are no times: {line[:60]!r}")
        found[name] = float(nanoseconds)
    if not found:
        raise InfrastructureError(f"{device.name}: the loops left no times")
    return found
