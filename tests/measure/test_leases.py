"""Nobody holds a device while something is built: others may want it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError, CommandTimeout
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.measure.settings import MeasureSettings
from ellopt.model.graph import Model
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from ellopt.select.confirm import ASSEMBLED, BEFORE, confirm
from ellopt.targets import Target
from ellopt.toolchains.base import Ahead, kept_back
from tests.support.pretend import PretendDevice, PretendPool, PretendToolchain, small_space, smooth_latency
from tests.support.pretend_measurer import NODES, SIMPLE, UNROLLED, pretend_measurer, uniform

WINOGRAD = frozenset(ConvolutionOptions("winograd", parallel, 0, 1, 1) for parallel in (False, True))
BUILD_SECONDS, RUN_SECONDS, IDLE_SECONDS = 200.0, 1.0, 120.0


@dataclass
class Clock:
    """What builds and runs would have taken, and how long a device was held at a stretch."""

    now: float = 0.0
    held_since: float | None = None
    leases: list[float] = field(default_factory=list)
    builds: int = 0


@dataclass
class SlowToolchain(PretendToolchain):
    clock: Clock = field(default_factory=Clock)

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        assert self.clock.held_since is None, "a build began while a device was held"
        self.clock.now += BUILD_SECONDS
        self.clock.builds += 1
        return super().build(model, plans, target, directory, deadline)


@dataclass
class TimedDevice(PretendDevice):
    clock: Clock = field(default_factory=Clock)
    hanging: frozenset[object] = frozenset()

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        self.clock.now += RUN_SECONDS
        execution = super().run(bundle, invocation, deadline)
        if any(pair in self.hanging for plan in self.jobs[-1].plans for pair in plan.items()):
            raise CommandTimeout("killed")
        return execution


class ClockedPool(PretendPool):
    def __init__(self, clock: Clock, device: PretendDevice) -> None:
        super().__init__(device)
        self._clock = clock

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:  # type: ignore[override]
        with super().lease(deadline) as device:
            assert self._clock.held_since is None, "two leases of one device"
            self._clock.held_since = self._clock.now
            try:
                yield device
            finally:
                self._clock.leases.append(self._clock.now - self._clock.held_since)
                self._clock.held_since = None


PAIRS = st.frozensets(
    st.tuples(st.sampled_from(NODES), st.sampled_from([SIMPLE, SIMPLE.with_parallelize(True)])), max_size=2
)


@settings(max_examples=15, deadline=None)
@given(
    plans_per_bundle=st.sampled_from([None, 8, 2, 1]),
    in_turns=st.booleans(),
    wrong=PAIRS,
    crashing=PAIRS,
    hanging=PAIRS,
    broken=st.sampled_from([frozenset(), WINOGRAD]),
)
def test_no_build_begins_while_a_device_is_held(
    plans_per_bundle: int | None,
    in_turns: bool,
    wrong: frozenset[object],
    crashing: frozenset[object],
    hanging: frozenset[object],
    broken: frozenset[ConvolutionOptions],
) -> None:
    clock = Clock()
    toolchain = SlowToolchain(plans_per_bundle=plans_per_bundle, checks_in_turns=in_turns, broken=broken, clock=clock)
    device = TimedDevice(smooth_latency(), wrong=wrong, crashing=crashing, hanging=hanging, clock=clock)
    measurer = pretend_measurer(toolchain=toolchain, pool=ClockedPool(clock, device), settings=MeasureSettings())
    space = small_space(toolchain, (1,))
    with TemporaryDirectory() as directory:
        found = search(space, measurer, SearchSettings(sampler="grid", seed=1), Path(directory))
    confirm(measurer, {ASSEMBLED: found.evidence.best_plan(), BEFORE: space.default_plan})
    measurer.check(space.covering_plans())
    measurer.output_errors([space.default_plan])
    assert clock.builds
    assert max(clock.leases) < IDLE_SECONDS, "a device was held for as long as only builds take"


@pytest.mark.parametrize("error", [BuildError("no"), CandidateError("no")])
def test_a_device_is_given_back_when_a_build_or_a_candidate_fails(error: CandidateError) -> None:
    clock = Clock()
    broken = frozenset({SIMPLE}) if isinstance(error, BuildError) else frozenset()
    crashing = frozenset({SIMPLE}) - broken
    toolchain = SlowToolchain(plans_per_bundle=1, broken=broken, clock=clock)
    device = TimedDevice(smooth_latency(), crashing=crashing, clock=clock)
    measurer = pretend_measurer(toolchain=toolchain, pool=ClockedPool(clock, device))
    failed, fine = measurer.measure([uniform(SIMPLE), uniform(UNROLLED)], Schedule())
    assert failed.samples is None
    assert fine.samples is not None
    assert clock.held_since is None
