"""Building, checking and measuring on devices that fail in all the ways devices and candidates do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError, CommandTimeout, InfrastructureError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import DeviceState
from ellopt.core.schedule import Schedule
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.measure.disturbance import disturbance
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.toolchains.settings import BuildSettings
from tests.support.pretend import (
    AT_ONCE,
    MODEL,
    SMALL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    constant,
    small_space,
)

NODES = tuple(layer.node_id for layer in SMALL)
UNROLLED, SIMPLE = ConvolutionOptions("unrolled"), ConvolutionOptions("simple")
PARALLEL = ConvolutionOptions("unrolled", True)
WINOGRAD = ConvolutionOptions("winograd", False, 0, 4, 3)
WINOGRAD_3 = ConvolutionOptions("winograd", False, 0, 4, 4)


def uniform(options: ConvolutionOptions) -> Plan:
    return Plan.uniform(NODES, options)


def measurer(
    *devices: PretendDevice,
    toolchain: PretendToolchain | None = None,
    settings: MeasureSettings | None = None,
    build: BuildSettings | None = None,
    capacity: int = 1,
    sleep: Callable[[float], None] = lambda seconds: None,
) -> DeviceMeasurer:
    toolchain = toolchain or PretendToolchain()
    pool = PretendPool(*devices, capacity=capacity)
    return DeviceMeasurer(MODEL, toolchain, pool, TARGET, Path("unused"), settings or AT_ONCE, build, sleep=sleep)


def steady(**options: object) -> PretendDevice:
    return PretendDevice(constant({}, 1.0), **options)  # type: ignore[arg-type]


def test_one_build_serves_every_plan() -> None:
    toolchain = PretendToolchain()
    lab = measurer(steady(), toolchain=toolchain)
    lab.prepare(small_space(toolchain))
    outcomes = lab.measure([uniform(UNROLLED), uniform(SIMPLE), uniform(PARALLEL)], Schedule(rounds=4))
    assert len(toolchain.builds) == lab.costs.builds == 1
    assert [o.plan for o in outcomes] == [uniform(UNROLLED), uniform(SIMPLE), uniform(PARALLEL)]
    assert all(o.samples is not None and o.samples.rounds == (0, 1, 2, 3) for o in outcomes)
    assert lab.costs.observations == 3 * len(NODES)


def test_plans_that_no_bundle_holds_together_get_one() -> None:
    device = steady()
    lab = measurer(device)
    lab.measure([uniform(UNROLLED)], Schedule())
    lab.measure([uniform(SIMPLE)], Schedule())
    lab.measure([uniform(UNROLLED), uniform(SIMPLE)], Schedule())
    assert [len(job.plans) for job in device.jobs if job.kind == "profile"] == [1, 1, 2]


def test_a_toolchain_that_holds_one_plan_builds_each_once() -> None:
    toolchain = PretendToolchain(plans_per_bundle=1)
    lab = measurer(steady(), toolchain=toolchain, build=BuildSettings(parallel_build=2))
    lab.prepare(small_space(toolchain))
    assert toolchain.builds == []
    lab.measure([uniform(UNROLLED), uniform(SIMPLE)], Schedule())
    lab.measure([uniform(UNROLLED)], Schedule())
    assert sorted(toolchain.builds) == sorted([(uniform(UNROLLED),), (uniform(SIMPLE),)])


def test_every_variant_is_checked_once_before_it_is_timed() -> None:
    device = steady()
    lab = measurer(device)
    lab.prepare(small_space(PretendToolchain()))
    lab.measure([uniform(UNROLLED), uniform(SIMPLE)], Schedule())
    lab.measure([uniform(SIMPLE), uniform(PARALLEL)], Schedule())
    assert [job.kind for job in device.jobs] == ["check", "profile", "check", "profile"]
    assert [set(job.plans) for job in device.jobs if job.kind == "check"] == [
        {uniform(UNROLLED), uniform(SIMPLE)},
        {uniform(PARALLEL)},
    ]


@pytest.mark.parametrize("plans_per_bundle", [None, 8, 1])
@pytest.mark.parametrize("wrong", [frozenset(), frozenset({(NODES[1], UNROLLED)})])
def test_nothing_is_timed_before_its_output_was_right_not_even_the_default(
    plans_per_bundle: int | None, wrong: frozenset[Any]
) -> None:
    device = steady(wrong=wrong)
    lab = measurer(device, toolchain=PretendToolchain(plans_per_bundle=plans_per_bundle))
    for _ in range(2):
        lab.measure([uniform(SIMPLE), uniform(UNROLLED), uniform(PARALLEL)], Schedule())
    right: set[Any] = set()
    for job in device.jobs:
        pairs = {pair for plan in job.plans for pair in plan.items()}
        if job.kind == "check":
            right |= pairs - wrong
        else:
            assert pairs <= right
    assert any(job.kind == "profile" for job in device.jobs)


def test_one_job_checks_and_measures_where_the_toolchain_can() -> None:
    device = steady(wrong=frozenset({(NODES[0], SIMPLE)}))
    lab = measurer(device, toolchain=PretendToolchain(checks_in_turns=True))
    first = lab.measure([uniform(UNROLLED), uniform(PARALLEL)], Schedule())
    mixed = uniform(UNROLLED).with_(NODES[0], PARALLEL)
    wrong = uniform(UNROLLED).with_(NODES[0], SIMPLE)
    second = lab.measure([mixed, wrong, uniform(UNROLLED)], Schedule())
    assert [(job.kind, job.unchecked) for job in device.jobs] == [
        ("profile", {uniform(UNROLLED), uniform(PARALLEL)}),
        ("profile", {wrong}),
    ]
    assert all(o.samples is not None for o in (*first, second[0], second[2]))
    assert second[1].samples is None
    assert "wrong output" in second[1].failures[NODES[0]]


def test_a_crash_while_checking_and_measuring_is_narrowed_down() -> None:
    device = steady(crashing=frozenset({(NODES[3], PARALLEL)}))
    lab = measurer(device, toolchain=PretendToolchain(checks_in_turns=True))
    outcomes = lab.measure([uniform(UNROLLED), uniform(PARALLEL), uniform(SIMPLE)], Schedule())
    assert [o.samples is not None for o in outcomes] == [True, False, True]
    assert outcomes[1].failures == {NODES[3]: "ended with -11"}


def test_what_passed_on_one_kind_of_board_is_checked_again_on_another() -> None:
    first, second = steady(name="a", board="one kind"), steady(name="b", board="another kind")
    lab = measurer(first, second)
    lab.measure([uniform(SIMPLE)], Schedule())
    lab.measure([uniform(SIMPLE)], Schedule())
    assert [job.kind for job in first.jobs] == [job.kind for job in second.jobs] == ["check", "profile"]


def test_a_wrong_variant_is_never_timed_and_never_tried_again() -> None:
    device = steady(wrong=frozenset({(NODES[1], SIMPLE)}))
    lab = measurer(device)
    wrong, right = lab.measure([uniform(SIMPLE), uniform(UNROLLED)], Schedule())
    assert wrong.samples is None
    assert list(wrong.failures) == [NODES[1], NODES[2]]  # of equal shape
    assert "wrong output: off by 0.5" in wrong.reason
    assert right.samples is not None
    assert [(f.shape, f.options) for f in lab.failures] == [(SMALL[1].shape, SIMPLE)]
    jobs = len(device.jobs)
    again = lab.measure([uniform(SIMPLE)], Schedule())[0]
    assert again.failures == wrong.failures
    assert len(device.jobs) == jobs


@pytest.mark.parametrize("plans_per_bundle", [None, 1])
def test_a_crashing_variant_takes_nothing_else_down(plans_per_bundle: int | None) -> None:
    device = steady(crashing=frozenset({(NODES[3], PARALLEL)}))
    lab = measurer(device, toolchain=PretendToolchain(plans_per_bundle=plans_per_bundle))
    plans = [uniform(UNROLLED), uniform(PARALLEL), uniform(SIMPLE)]
    outcomes = lab.measure(plans, Schedule())
    assert [o.samples is not None for o in outcomes] == [True, False, True]
    assert outcomes[1].failures == {NODES[3]: "ended with -11"}
    repaired = uniform(PARALLEL).with_(NODES[3], UNROLLED)
    assert lab.measure([repaired], Schedule())[0].samples is not None


def test_two_crashing_layers_of_one_plan_are_both_found() -> None:
    crashing = frozenset({(NODES[0], SIMPLE), (NODES[3], SIMPLE)})
    lab = measurer(steady(crashing=crashing))
    outcome = lab.measure([uniform(SIMPLE)], Schedule())[0]
    assert set(outcome.failures) == {NODES[0], NODES[3]}


def test_a_model_that_crashes_anyway_is_an_error() -> None:
    lab = measurer(steady(crashing=frozenset({UNROLLED})))
    with pytest.raises(CandidateError, match="even with ELL's default options: ended with -11"):
        lab.measure([uniform(UNROLLED)], Schedule())


def test_options_that_do_not_build_are_failures_and_the_rest_is_built() -> None:
    toolchain = PretendToolchain(broken=frozenset({ConvolutionOptions("winograd", False, 0, 1, 1)}))
    lab = measurer(steady(), toolchain=toolchain)
    lab.prepare(small_space(toolchain))
    assert {f.options.method for f in lab.failures} == {"winograd"}
    assert all("no such kernel" in f.reason for f in lab.failures)
    assert lab.measure([uniform(SIMPLE), uniform(PARALLEL)], Schedule())[0].samples is not None


def test_a_model_that_does_not_build_at_all_is_an_error() -> None:
    toolchain = PretendToolchain(broken=frozenset({UNROLLED}))
    with pytest.raises(BuildError, match="no such kernel"):
        measurer(steady(), toolchain=toolchain).prepare(small_space(toolchain))


def test_a_failing_device_gives_its_work_to_another() -> None:
    def refuse(job: Job) -> None:
        raise InfrastructureError("connection refused")

    bad, good = steady(name="bad", before_run=refuse), steady(name="good")
    lab = measurer(bad, good)
    outcome = lab.measure([uniform(UNROLLED)], Schedule())[0]
    assert outcome.visit is not None
    assert outcome.visit.device == "good"
    assert lab.costs.retries == 1
    assert lab.costs.failures == ("connection refused",)


def test_devices_that_always_fail_are_given_up() -> None:
    calls: list[Job] = []

    def refuse(job: Job) -> None:
        calls.append(job)
        raise InfrastructureError("connection refused")

    lab = measurer(steady(before_run=refuse), settings=MeasureSettings(attempts=3))
    with pytest.raises(InfrastructureError, match="connection refused"):
        lab.measure([uniform(UNROLLED)], Schedule())
    assert len(calls) == 3


Hangs = Callable[[Job], bool]


def stuck(hangs: Hangs, limits: list[float]) -> PretendDevice:
    """A device on which jobs hang that ``hangs`` picks; ``limits`` gets the seconds that each of them lost."""

    @dataclass
    class Stuck(PretendDevice):
        def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
            execution = super().run(bundle, invocation, deadline)
            if hangs(self.jobs[-1]):
                limits.append(invocation.limit_seconds)
                raise CommandTimeout("killed")
            return execution

    return Stuck(constant({}, 1.0))


@pytest.mark.parametrize("checks_in_turns", [False, True])
@pytest.mark.parametrize("plans_per_bundle", [None, 8, 1])
@pytest.mark.parametrize("kinds", [("check", "profile"), ("profile",)])
@pytest.mark.parametrize("layer", range(len(NODES)))
def test_a_hanging_variant_is_a_candidates_failure(
    checks_in_turns: bool, plans_per_bundle: int | None, kinds: tuple[str, ...], layer: int
) -> None:
    def hangs(job: Job) -> bool:
        return job.kind in kinds and any(plan[NODES[layer]] == SIMPLE for plan in job.plans)

    lost: list[float] = []
    device = stuck(hangs, lost)
    toolchain = PretendToolchain(checks_in_turns=checks_in_turns, plans_per_bundle=plans_per_bundle)
    lab = measurer(device, toolchain=toolchain)
    slow, fine = lab.measure([uniform(SIMPLE), uniform(UNROLLED)], Schedule())
    assert "did not end within" in slow.failures[NODES[layer]]
    assert "a pass of ELL's default takes 4.1 ms" in slow.reason
    assert fine.samples is not None
    assert lab.costs.retries == 0, "no other device can do it better"
    first, *others = lost
    assert first <= (300 if plans_per_bundle is None else 45), "before ELL's default was timed its limit is not known"
    assert max(others) <= 45, "its limit follows from what ELL's default took"
    assert len(others) <= 8, "plans and layers are halved"
    jobs = len(device.jobs)
    assert lab.measure([uniform(SIMPLE)], Schedule())[0].failures == slow.failures
    assert len(device.jobs) == jobs, "it is never tried again"


def test_a_plan_that_hangs_without_one_layer_to_blame_is_given_up() -> None:
    def hangs(job: Job) -> bool:
        return any(sum(o == SIMPLE for o in plan.values()) > 1 for plan in job.plans)

    lost: list[float] = []
    device = stuck(hangs, lost)
    lab = measurer(device)
    plan = Plan(((NODES[0], SIMPLE), (NODES[1], UNROLLED), (NODES[2], UNROLLED), (NODES[3], SIMPLE)))
    assert "did not end within" in lab.measure([plan], Schedule())[0].reason
    jobs = len(device.jobs)
    assert "did not end within" in lab.measure([plan], Schedule())[0].reason
    assert len(device.jobs) == jobs


@pytest.mark.parametrize("plans_per_bundle", [None, 8])
def test_a_model_that_hangs_anyway_is_tried_elsewhere_and_then_an_error(plans_per_bundle: int | None) -> None:
    lost: list[float] = []
    lab = measurer(stuck(lambda job: True, lost), toolchain=PretendToolchain(plans_per_bundle=plans_per_bundle))
    with pytest.raises(CandidateError, match="hangs even with ELL's default options: did not end within 300 s"):
        lab.measure([uniform(SIMPLE)], Schedule())
    assert lab.costs.retries == 1
    assert len(lost) <= 4


def test_a_throttled_measurement_is_repeated_then_marked() -> None:
    states = iter([DeviceState(throttled=True)] * 2 + [DeviceState(throttled=False)] * 20)
    device = steady(states=lambda: next(states))
    outcome = measurer(device).measure([uniform(UNROLLED)], Schedule())[0]
    assert [job.kind for job in device.jobs] == ["check", "profile", "profile"]
    assert outcome.visit is not None
    assert outcome.visit.disturbed == ""

    always = steady(states=lambda: DeviceState(throttled=True))
    outcome = measurer(always, settings=MeasureSettings(disturbed_attempts=2)).measure([uniform(UNROLLED)], Schedule())[
        0
    ]
    assert [job.kind for job in always.jobs] == ["check", "profile", "profile"]
    assert outcome.visit is not None
    assert outcome.visit.disturbed == "throttled"


def test_measurements_on_one_device_are_spaced() -> None:
    slept: list[float] = []
    spaced = MeasureSettings(visit_spacing=10.0)
    lab = measurer(steady(), settings=spaced, sleep=slept.append)
    for _ in range(3):
        lab.measure([uniform(UNROLLED)], Schedule())
    assert len(slept) == 2
    assert all(8.0 < seconds <= 10.0 for seconds in slept)
    lab.measure([uniform(SIMPLE)], Schedule(), Deadline.after(1.0))
    assert slept[-1] <= 1.0, "time that a search does not have is not spent waiting"

    emulated = measurer(steady(times="emulated"), settings=spaced, sleep=slept.append)
    for _ in range(2):
        emulated.measure([uniform(UNROLLED)], Schedule())
    assert len(slept) == 3


def test_load_counts_where_it_cannot_be_our_own() -> None:
    busy, idle = DeviceState(load=8.0), DeviceState(load=1.0)
    assert disturbance(busy, busy, 4).startswith("loaded (8.0")
    assert disturbance(idle, busy, 4) == ""
    assert disturbance(busy, busy, 0) == ""
    assert disturbance(idle, DeviceState(foreign_load=2.5), 4).startswith("loaded by others")
    assert disturbance(idle, DeviceState(foreign_load=0.5), 4) == ""


def test_a_deadline_shortens_the_job() -> None:
    device = steady()
    measurer(device).measure([uniform(UNROLLED)], Schedule(), Deadline.after(7))
    assert all(job.limit_seconds <= 7 for job in device.jobs)


def test_emulated_results_say_so() -> None:
    outcome = measurer(steady(times="emulated")).measure([uniform(UNROLLED)], Schedule())[0]
    assert outcome.visit is not None
    assert outcome.visit.emulated
