"""A board that is not at hand: bundles run under qemu-user, and a simulated processor's clock says what they take."""

from __future__ import annotations

import os
from dataclasses import replace

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.core.samples import DeviceState
from ellopt.devices.base import Times
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.pool.fixed import FixedSource
from ellopt.devices.pool.leasing import Pace, Pool
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.staging import run_here
from ellopt.estimate.simulator import REFUSED, Simulator
from ellopt.files.process import Abort
from ellopt.targets import Target


class EstimatedDevice:
    """A simulated processor. The same bundle and invocation give the same times, whatever else this machine does."""

    times: Times = "estimated"
    here = False  # nothing that happens here changes its times

    def __init__(self, simulator: Simulator, number: int = 1) -> None:
        self._simulator = simulator
        self._abort = Abort()
        self.name = f"estimated {simulator.target.name} {number}"
        self.board = simulator.board

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        if bundle.target.triple != self._simulator.target.triple:
            raise InfrastructureError(f"{self.name} cannot run a bundle for {bundle.target.name}")
        files = self._simulator.files(bundle.path / invocation.arguments[0], bundle.digest)
        simulated = replace(invocation, inputs={**invocation.inputs, **files})
        done = run_here(bundle, simulated, deadline, wrapper=self._simulator.wrapper, abort=self._abort)
        if done.exit_code == REFUSED and (why := _refusal(done.stderr)):
            raise ConfigurationError(
                f"a program for {bundle.target.name} cannot be simulated: {why}. Give a board with --ipaddress or "
                "--cluster, which measures"
            )
        return done

    def state(self) -> DeviceState:
        """Nothing: this machine's state does not matter."""
        return DeviceState()

    def abort(self) -> None:
        """End what is running, from another thread."""
        self._abort.fire()

    def rearm(self) -> None:
        self._abort = Abort()


def _refusal(said: str) -> str:
    """Why the simulator ended a program; empty if it did not."""
    return next((line.removeprefix("simulator: ") for line in said.splitlines() if line.startswith("simulator: ")), "")


def open_pool(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    """Simulated processors, as many as this machine has cores for."""
    if settings.simulator is None:
        raise ValueError("there is no simulated processor")
    count = max(1, min(os.cpu_count() or 1, settings.parallel_run))
    devices = [EstimatedDevice(settings.simulator, number) for number in range(1, count + 1)]
    return Pool(FixedSource(devices), count, settings.board_timeout, pace)
