"""Tuning without a board: when that is done, and with what."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from ellopt.app.config import TuningConfig
from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, ConfigurationError
from ellopt.devices.kinds import DEVICE_KINDS
from ellopt.estimate.calibration.store import find
from ellopt.estimate.cores import core_of
from ellopt.estimate.facts import EstimateFacts
from ellopt.estimate.plugin import plugin_for
from ellopt.estimate.qemu import find_plugin_qemu
from ellopt.estimate.simulator import MODEL_VERSION, Simulator
from ellopt.files.process import run_in_group
from ellopt.files.user_dirs import cache_directory, state_directory
from ellopt.targets import Target
from ellopt.toolchains.zig import zig_command, zig_version

_LOG = logging.getLogger(__name__)

NOTICE = "no board was given: tuned by estimate; with --ipaddress it is measured"


def is_implied(config: TuningConfig, target: Target) -> bool:
    """Whether nothing says where to measure, so that an estimate is all that can be had."""
    said = (
        config.fleet.meant
        or config.devices.estimate
        or any(kind.meant(config.devices, target) for kind in DEVICE_KINDS)
    )
    return not said and config.build.toolchain == "native"


def simulator_for(config: TuningConfig, target: Target) -> Simulator | None:
    """The simulated processor, where ``config`` asks for estimates or leaves nothing else; None where it measures.

    Raises ConfigurationError for what cannot be estimated: the message says what to do instead; BuildError.
    """
    implied = is_implied(config, target)
    if not (config.devices.estimate or implied):
        return None
    try:
        simulator = make_simulator(target)
    except ConfigurationError as error:
        if not implied:
            raise ConfigurationError(f"--estimate: {error}") from error
        emulate = "--emulate runs it without any times, " if shutil.which(target.qemu) else ""
        raise ConfigurationError(
            f"no board was given (--ipaddress, --cluster), and {error}. {emulate}--target host tunes for this machine"
        ) from error
    if implied:
        _LOG.warning(NOTICE)
    return simulator


def make_simulator(target: Target, calibrated: bool = True) -> Simulator:
    """The simulated processor of ``target``, with the factor that was found for this kind of board if ``calibrated``.

    Its plugin is compiled the first time. Raises as ``simulator_for``.
    """
    core = core_of(target)
    qemu = find_plugin_qemu(target)
    plugin = plugin_for(qemu.interface, _compile, zig_version(), cache_directory() / "simulator")
    found = find(state_directory(), target.name) if calibrated else None
    if found is None:
        return Simulator(target, core, qemu, plugin)
    return Simulator(target, core, qemu, plugin, found.factor, found.spread, calibrated=True)


def facts_of(simulator: Simulator) -> EstimateFacts:
    """What reports say of the simulated processor."""
    return EstimateFacts(
        simulator.core.title,
        simulator.mhz,
        simulator.error,
        simulator.factor,
        simulator.calibrated,
        MODEL_VERSION,
        simulator.calibrated or simulator.core.compared,
    )


def _compile(arguments: Sequence[str], directory: Path, deadline: Deadline) -> None:
    done = run_in_group([*zig_command(), "cc", *arguments], directory, deadline)
    if done.exit_code != 0:
        log = (done.stdout + done.stderr).decode(errors="replace")
        raise BuildError(f"the simulator's plugin does not compile: {log.strip()[:200]}", log)
