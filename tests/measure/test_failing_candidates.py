"""Candidates that are wrong, crash, hang or do not build: they are found, given up, and take nothing else down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError, CommandTimeout
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.devices.bundle import Bundle, Execution, Invocation
from tests.support.pretend import SMALL, PretendDevice, PretendToolchain, constant, small_space
from tests.support.pretend_measurer import NODES, PARALLEL, SIMPLE, UNROLLED, pretend_measurer, steady, uniform


def test_a_crash_while_checking_and_measuring_is_narrowed_down() -> None:
    device = steady(crashing=frozenset({(NODES[3], PARALLEL)}))
    lab = pretend_measurer(device, toolchain=PretendToolchain(checks_in_turns=True))
    outcomes = lab.measure([uniform(UNROLLED), uniform(PARALLEL), uniform(SIMPLE)], Schedule())
    assert [o.samples is not None for o in outcomes] == [True, False, True]
    assert outcomes[1].failures == {NODES[3]: "ended with -11"}


def test_a_wrong_variant_is_never_timed_and_never_tried_again() -> None:
    device = steady(wrong=frozenset({(NODES[1], SIMPLE)}))
    lab = pretend_measurer(device)
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
    lab = pretend_measurer(device, toolchain=PretendToolchain(plans_per_bundle=plans_per_bundle))
    plans = [uniform(UNROLLED), uniform(PARALLEL), uniform(SIMPLE)]
    outcomes = lab.measure(plans, Schedule())
    assert [o.samples is not None for o in outcomes] == [True, False, True]
    assert outcomes[1].failures == {NODES[3]: "ended with -11"}
    repaired = uniform(PARALLEL).with_(NODES[3], UNROLLED)
    assert lab.measure([repaired], Schedule())[0].samples is not None


def test_two_crashing_layers_of_one_plan_are_both_found() -> None:
    crashing = frozenset({(NODES[0], SIMPLE), (NODES[3], SIMPLE)})
    lab = pretend_measurer(steady(crashing=crashing))
    outcome = lab.measure([uniform(SIMPLE)], Schedule())[0]
    assert set(outcome.failures) == {NODES[0], NODES[3]}


def test_a_model_that_crashes_anyway_is_an_error() -> None:
    lab = pretend_measurer(steady(crashing=frozenset({UNROLLED})))
    with pytest.raises(CandidateError, match="even with ELL's default options: ended with -11"):
        lab.measure([uniform(UNROLLED)], Schedule())


def test_options_that_do_not_build_are_failures_and_the_rest_is_built() -> None:
    toolchain = PretendToolchain(broken=frozenset({ConvolutionOptions("winograd", False, 0, 1, 1)}))
    lab = pretend_measurer(steady(), toolchain=toolchain)
    lab.prepare(small_space(toolchain))
    assert {f.options.method for f in lab.failures} == {"winograd"}
    assert all("no such kernel" in f.reason for f in lab.failures)
    assert lab.measure([uniform(SIMPLE), uniform(PARALLEL)], Schedule())[0].samples is not None


def test_a_model_that_does_not_build_at_all_is_an_error() -> None:
    toolchain = PretendToolchain(broken=frozenset({UNROLLED}))
    with pytest.raises(BuildError, match="no such kernel"):
        pretend_measurer(steady(), toolchain=toolchain).prepare(small_space(toolchain))


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
    lab = pretend_measurer(device, toolchain=toolchain)
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
    lab = pretend_measurer(device)
    plan = Plan(((NODES[0], SIMPLE), (NODES[1], UNROLLED), (NODES[2], UNROLLED), (NODES[3], SIMPLE)))
    assert "did not end within" in lab.measure([plan], Schedule())[0].reason
    jobs = len(device.jobs)
    assert "did not end within" in lab.measure([plan], Schedule())[0].reason
    assert len(device.jobs) == jobs


@pytest.mark.parametrize("plans_per_bundle", [None, 8])
def test_a_model_that_hangs_anyway_is_tried_elsewhere_and_then_an_error(plans_per_bundle: int | None) -> None:
    lost: list[float] = []
    lab = pretend_measurer(stuck(lambda job: True, lost), toolchain=PretendToolchain(plans_per_bundle=plans_per_bundle))
    with pytest.raises(CandidateError, match="hangs even with ELL's default options: did not end within 300 s"):
        lab.measure([uniform(SIMPLE)], Schedule())
    assert lab.costs.retries == 1
    assert len(lost) <= 4
