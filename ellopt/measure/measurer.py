"""Where plans are tried: has built what they need, has their outputs checked on devices, has them measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ellopt.core.deadline import Deadline
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Costs, Failure, Trial
from ellopt.devices.base import DevicePool
from ellopt.measure.accuracy import Accuracy
from ellopt.measure.base import MeasurerStatus
from ellopt.measure.builder import Bundles
from ellopt.measure.executors import make_executor
from ellopt.measure.executors.base import Executor, Steps, start
from ellopt.measure.ledger import Ledger
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.site import MeasureSite
from ellopt.measure.trying import Trying
from ellopt.measure.visit import LookTask
from ellopt.measure.whole_model import WholeOutputs
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.space.space import ModelSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.settings import BuildSettings

Result = TypeVar("Result")


class DeviceMeasurer:
    """Tries plans of one model for one target, see ``Measurer``. Its methods may be called from several threads.

    Options whose output is wrong, that crash or that hang are found, recorded in ``failures`` and never run again.
    A device that fails gives the visit to another one. ``samples``: inputs that whole models are checked with besides
    pseudo-random ones, [row, column, channel] each.
    """

    def __init__(
        self,
        model: Model,
        toolchain: Toolchain,
        pool: DevicePool,
        target: Target,
        directory: Path,
        settings: MeasureSettings | None = None,
        build: BuildSettings | None = None,
        *,
        samples: Sequence[FloatArray] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings or MeasureSettings()
        self._watchers: list[Callable[[], None]] = []
        self._site = MeasureSite(model, toolchain, pool, target, directory, sleep, self._changed)
        self._executor: Executor[MeasureSite] = make_executor(
            self.settings.executor, self._site, max(1, pool.capacity), self.settings.own
        )
        self._bundles = Bundles(model, toolchain, target, build, self._changed)
        self._ledger = Ledger({layer.node_id: layer for layer in toolchain.layers(model)})
        self._trying = Trying(self._bundles, self._ledger, self.settings, target.cores, toolchain.checks_in_turns)
        self._outputs = WholeOutputs(model, toolchain, samples)
        self._board = ""

    @property
    def capacity(self) -> int:
        return self._executor.capacity

    @property
    def ahead(self) -> int:
        return self._executor.ahead

    @property
    def piecemeal(self) -> bool:
        here = self._executor.at_once and not self._site.pool.sends  # else each bundle may be sent
        return here and self._bundles.piecemeal

    @property
    def failures(self) -> tuple[Failure, ...]:
        return self._ledger.failures

    @property
    def costs(self) -> Costs:
        return replace(self._ledger.costs, builds=self._bundles.builds, build_seconds=self._bundles.build_seconds)

    def watch(self, callback: Callable[[], None]) -> None:
        self._watchers.append(callback)

    def stop(self) -> None:
        """The pool is of no use afterwards."""
        self._site.pool.close()

    def rest(self) -> None:
        self._executor.rest()
        self._site.rest()

    def status(self) -> MeasurerStatus:
        set_aside = self._site.pool.report().set_aside
        boards = self.capacity
        busy = min(self._site.busy, boards)  # what is ahead has none yet
        return MeasurerStatus(self._bundles.builds, self._bundles.in_flight, busy, boards, set_aside)

    def board(self) -> str:
        """What measurements here may be compared with: the kind of board that the pool's devices are."""
        if not self._board:
            self._board = self._executor.submit(LookTask()).result()
        return self._board

    def prepare(self, space: ModelSpace) -> None:
        """Build all that ``space`` may ask for, where one bundle can hold it; it holds no more than that. Raises
        BuildError if not even ELL's default options build; others that do not build become failures."""
        ahead = self._outputs.ahead()
        try:
            self._ledger.reject_layers(self._wait_for(self._bundles.prepare(space)))
        finally:
            interrupted = sys.exception()
            if ahead.is_alive() and (interrupted is None or isinstance(interrupted, Exception)):
                ahead.join()  # nothing computes beside a measurement

    def reject(self, failures: Sequence[Failure]) -> None:
        self._ledger.reject(failures)

    def rejected(self, plan: Plan) -> dict[str, str]:
        """Node id -> reason for the layers of ``plan`` whose options are known not to work."""
        return self._ledger.rejected(plan)

    def check(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[Trial, ...]:
        """Check whatever in ``plans`` has not been checked on every kind of board that was seen."""
        return self._wait_for(self._trying.outcomes(plans, None, deadline or Deadline.never()))

    def output_errors(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[float, ...]:
        """How far the whole model's output is off with each plan, for several inputs, in units of what is allowed.

        Raises as ``measure``.
        """
        until = deadline or Deadline.never()
        return self._outputs.errors(
            plans,
            lambda some: self._wait_for(self._bundles.holding(some)),
            lambda bundle, job: self._wait_for(self._trying.run_job(bundle, job, until)),
        )

    def accuracy(self, plan: Plan, deadline: Deadline | None = None) -> Accuracy | None:
        """How accurate the whole model's output is with ``plan``; None where it cannot be known. Raises as
        ``output_errors``."""
        until = deadline or Deadline.never()
        return self._outputs.accuracy(
            plan,
            lambda some: self._wait_for(self._bundles.holding(some)),
            lambda bundle, job: self._wait_for(self._trying.run_job(bundle, job, until)),
        )

    def submit(
        self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None
    ) -> Future[tuple[Trial, ...]]:
        """Measure ``plans``, interleaved where one bundle holds them; one outcome each, in their order.

        What has not been checked on a kind of board is checked there first, in the same job where the toolchain can do
        that. The future raises InfrastructureError when no device could do it, CandidateError when the model crashes
        even with ELL's default options.
        """
        return start(self._trying.outcomes(plans, schedule, deadline or Deadline.never()), self._executor)

    def measure(self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None) -> tuple[Trial, ...]:
        return self.submit(plans, schedule, deadline).result()

    def _wait_for(self, steps: Steps[Result]) -> Result:
        return start(steps, self._executor).result()

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()
