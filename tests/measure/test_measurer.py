"""Building, checking and measuring: what a device is asked for, and what is done when it fails or is disturbed."""

from __future__ import annotations

from typing import Any

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.core.job import Job
from ellopt.core.samples import DeviceState
from ellopt.core.schedule import Schedule
from ellopt.measure.disturbance import disturbance
from ellopt.measure.settings import MeasureSettings
from ellopt.toolchains.settings import BuildSettings
from tests.support.pretend import PretendToolchain, small_space
from tests.support.pretend_measurer import NODES, PARALLEL, SIMPLE, UNROLLED, pretend_measurer, steady, uniform


def test_one_build_serves_every_plan() -> None:
    toolchain = PretendToolchain()
    lab = pretend_measurer(steady(), toolchain=toolchain)
    lab.prepare(small_space(toolchain))
    outcomes = lab.measure([uniform(UNROLLED), uniform(SIMPLE), uniform(PARALLEL)], Schedule(rounds=4))
    assert len(toolchain.builds) == lab.costs.builds == 1
    assert [o.plan for o in outcomes] == [uniform(UNROLLED), uniform(SIMPLE), uniform(PARALLEL)]
    assert all(o.samples is not None and o.samples.rounds == (0, 1, 2, 3) for o in outcomes)
    assert lab.costs.observations == 3 * len(NODES)


def test_plans_that_no_bundle_holds_together_get_one() -> None:
    device = steady()
    lab = pretend_measurer(device)
    lab.measure([uniform(UNROLLED)], Schedule())
    lab.measure([uniform(SIMPLE)], Schedule())
    lab.measure([uniform(UNROLLED), uniform(SIMPLE)], Schedule())
    assert [len(job.plans) for job in device.jobs if job.kind == "profile"] == [1, 1, 2]


def test_a_toolchain_that_holds_one_plan_builds_each_once() -> None:
    toolchain = PretendToolchain(plans_per_bundle=1)
    lab = pretend_measurer(steady(), toolchain=toolchain, build=BuildSettings(parallel_build=2))
    lab.prepare(small_space(toolchain))
    assert toolchain.builds == []
    lab.measure([uniform(UNROLLED), uniform(SIMPLE)], Schedule())
    lab.measure([uniform(UNROLLED)], Schedule())
    assert sorted(toolchain.builds) == sorted([(uniform(UNROLLED),), (uniform(SIMPLE),)])


def test_every_variant_is_checked_once_before_it_is_timed() -> None:
    device = steady()
    lab = pretend_measurer(device)
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
    lab = pretend_measurer(device, toolchain=PretendToolchain(plans_per_bundle=plans_per_bundle))
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
    lab = pretend_measurer(device, toolchain=PretendToolchain(checks_in_turns=True))
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


def test_what_passed_on_one_kind_of_board_is_checked_again_on_another() -> None:
    first, second = steady(name="a", board="one kind"), steady(name="b", board="another kind")
    lab = pretend_measurer(first, second)
    lab.measure([uniform(SIMPLE)], Schedule())
    lab.measure([uniform(SIMPLE)], Schedule())
    assert [job.kind for job in first.jobs] == [job.kind for job in second.jobs] == ["check", "profile"]


def test_a_failing_device_gives_its_work_to_another() -> None:
    def refuse(job: Job) -> None:
        raise InfrastructureError("connection refused")

    bad, good = steady(name="bad", before_run=refuse), steady(name="good")
    lab = pretend_measurer(bad, good)
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

    lab = pretend_measurer(steady(before_run=refuse), settings=MeasureSettings(attempts=3))
    with pytest.raises(InfrastructureError, match="connection refused"):
        lab.measure([uniform(UNROLLED)], Schedule())
    assert len(calls) == 3


def test_a_throttled_measurement_is_repeated_then_marked() -> None:
    states = iter([DeviceState(throttled=True)] * 2 + [DeviceState(throttled=False)] * 20)
    device = steady(states=lambda: next(states))
    outcome = pretend_measurer(device).measure([uniform(UNROLLED)], Schedule())[0]
    assert [job.kind for job in device.jobs] == ["check", "profile", "profile"]
    assert outcome.visit is not None
    assert outcome.visit.disturbed == ""

    always = steady(states=lambda: DeviceState(throttled=True))
    outcome = pretend_measurer(always, settings=MeasureSettings(disturbed_attempts=2)).measure(
        [uniform(UNROLLED)], Schedule()
    )[0]
    assert [job.kind for job in always.jobs] == ["check", "profile", "profile"]
    assert outcome.visit is not None
    assert outcome.visit.disturbed == "throttled"


def test_measurements_on_one_device_are_spaced() -> None:
    slept: list[float] = []
    spaced = MeasureSettings(visit_spacing=10.0)
    lab = pretend_measurer(steady(), settings=spaced, sleep=slept.append)
    for _ in range(3):
        lab.measure([uniform(UNROLLED)], Schedule())
    assert len(slept) == 2
    assert all(8.0 < seconds <= 10.0 for seconds in slept)
    lab.measure([uniform(SIMPLE)], Schedule(), Deadline.after(1.0))
    assert slept[-1] <= 1.0, "time that a search does not have is not spent waiting"

    emulated = pretend_measurer(steady(times="emulated"), settings=spaced, sleep=slept.append)
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
    pretend_measurer(device).measure([uniform(UNROLLED)], Schedule(), Deadline.after(7))
    assert all(job.limit_seconds <= 7 for job in device.jobs)


def test_emulated_results_say_so() -> None:
    outcome = pretend_measurer(steady(times="emulated")).measure([uniform(UNROLLED)], Schedule())[0]
    assert outcome.visit is not None
    assert outcome.visit.emulated
