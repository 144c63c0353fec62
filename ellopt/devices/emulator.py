"""Runs bundles of foreign targets on this machine under qemu-user. Times so taken are marked as emulated."""

from __future__ import annotations

import shutil
import sys

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.samples import DeviceState
from ellopt.devices.base import Times
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.pool.fixed import FixedSource
from ellopt.devices.pool.leasing import Pace, Pool
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.staging import run_here
from ellopt.files.process import Abort
from ellopt.targets import Target


def find_qemu(target: Target) -> str:
    """The path of the qemu-user program that runs binaries of ``target``.

    Raises ConfigurationError if there is none: the message says what to install.
    """
    if not target.qemu:
        raise ConfigurationError(f"--emulate: target {target.name} is not emulated; leave the option out")
    for name in (target.qemu, f"{target.qemu}-static"):
        if path := shutil.which(name):
            return path
    how = (
        "install it, on Debian: apt-get install qemu-user"
        if sys.platform == "linux"
        else "qemu-user runs on Linux only: run ellopt there, or give a board with --ipaddress"
    )
    raise ConfigurationError(f"--emulate: target {target.name} needs {target.qemu}, which is not on the PATH; {how}")


def emulator_arguments(target: Target, program: str) -> tuple[str, ...]:
    """What stands before the command to run a binary of ``target`` under ``program``."""
    return (program, "-cpu", target.qemu_cpu) if target.qemu_cpu else (program,)


class EmulatedDevice:
    """This machine, pretending to be ``target``."""

    times: Times = "emulated"
    here = True

    def __init__(self, target: Target) -> None:
        self._wrapper = emulator_arguments(target, find_qemu(target))
        self._target = target
        self._abort = Abort()
        self.name = f"emulated {target.name}"
        self.board = f"emulated {target.name} ({target.qemu} {target.qemu_cpu})"

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        if bundle.target.triple != self._target.triple:
            raise InfrastructureError(f"{self.name} cannot run a bundle for {bundle.target.name}")
        return run_here(bundle, invocation, deadline, wrapper=self._wrapper, abort=self._abort)

    def state(self) -> DeviceState:
        """Nothing: this machine's frequency or temperature say nothing of an emulated CPU."""
        return DeviceState()

    def abort(self) -> None:
        """End what is running, from another thread."""
        self._abort.fire()

    def rearm(self) -> None:
        self._abort = Abort()


def open_pool(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    """One emulator: two would slow each other."""
    return Pool(FixedSource([EmulatedDevice(target)]), 1, settings.board_timeout, pace)
