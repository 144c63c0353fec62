"""What every toolchain must do, whichever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.core.job import Job
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.settings import OwnGroups
from ellopt.devices.bundle import Bundle, Execution
from ellopt.devices.local import LocalDevice
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.targets import TARGETS, Target, find_target
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.ell.settings import EllSettings
from ellopt.toolchains.registry import TOOLCHAINS, make_toolchain
from ellopt.toolchains.settings import BuildSettings


@pytest.fixture(scope="module", params=sorted(TOOLCHAINS))
def any_toolchain(request: pytest.FixtureRequest, ell_build_root: Path) -> Toolchain:
    own = OwnGroups(EllSettings(ell_build_root=ell_build_root))
    return make_toolchain(BuildSettings(toolchain=request.param, parallel_build=2), own, find_target("host"))


@pytest.fixture(scope="module")
def tiny(tiny_path: Path) -> Model:
    return read_model(tiny_path)


@pytest.fixture(scope="module")
def host() -> Target:
    return find_target("host")


@pytest.fixture(scope="module")
def plans(tiny: Model, any_toolchain: Toolchain, host: Target) -> tuple[Plan, ...]:
    """ELL's default and simple convolutions, in canonical form."""
    wanted = (ELL_DEFAULT, ConvolutionOptions("simple"))
    layers = any_toolchain.layers(tiny)
    return tuple(
        Plan.of({layer.node_id: any_toolchain.canonical(layer.shape, options, host) or ELL_DEFAULT for layer in layers})
        for options in wanted
    )


@pytest.fixture(scope="module")
def directory(any_toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(any_toolchain.name)


def test_what_is_given_ahead_is_in_the_bundle(
    any_toolchain: Toolchain, tiny: Model, plans: tuple[Plan, ...], host: Target, tmp_path: Path
) -> None:
    given: list[bytes] = []
    model, deadline = any_toolchain.prepare(tiny), Deadline.after(300)
    built = any_toolchain.build(model, plans, host, tmp_path, deadline, lambda file: given.append(file.read_bytes()))
    contents = [(built.path / name).read_bytes() for name in built.files]
    assert all(data in contents for data in given)
    if any_toolchain.packs_weights:
        assert given, "weights need no compiler"


@pytest.fixture(scope="module")
def bundle(any_toolchain: Toolchain, tiny: Model, plans: tuple[Plan, ...], host: Target, directory: Path) -> Bundle:
    return any_toolchain.build(any_toolchain.prepare(tiny), plans, host, directory, Deadline.after(300))


def test_layers_are_those_of_the_model(any_toolchain: Toolchain, tiny: Model) -> None:
    assert [layer.node_id for layer in any_toolchain.layers(tiny)] == [node.node_id for node in tiny.convolutions]
    assert [layer.shape.filters for layer in any_toolchain.layers(tiny)] == [4, 8, 4]
    assert any_toolchain.fused_into(tiny).keys().isdisjoint(node.node_id for node in tiny.convolutions)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_canonical_options_represent_themselves(any_toolchain: Toolchain, tiny: Model, target: str) -> None:
    for layer in any_toolchain.layers(tiny):
        for text in ("simple", "simple parallel", "unrolled", "unrolled parallel", "winograd s2 f4 c8", "winograd"):
            best = any_toolchain.canonical(layer.shape, ConvolutionOptions.parse(text), TARGETS[target])
            if best is not None:
                assert any_toolchain.canonical(layer.shape, best, TARGETS[target]) == best
        assert any_toolchain.canonical(layer.shape, ELL_DEFAULT, TARGETS[target]) is not None


def test_a_bundle_is_built_once(
    any_toolchain: Toolchain, tiny: Model, plans: tuple[Plan, ...], host: Target, directory: Path, bundle: Bundle
) -> None:
    assert bundle.toolchain == any_toolchain.name
    assert all((bundle.path / name).is_file() for name in bundle.files)
    assert all(bundle.runs(plan) for plan in plans)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    again = any_toolchain.build(tiny, plans, host, directory, Deadline.after(300))
    assert again == bundle
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def test_jobs_answer_for_every_plan_in_order(
    any_toolchain: Toolchain, bundle: Bundle, plans: tuple[Plan, ...], device: LocalDevice
) -> None:
    check = Job("check", plans)
    result = any_toolchain.read(
        bundle, check, device.run(bundle, any_toolchain.invoke(bundle, check), Deadline.after(60))
    )
    assert {(c.node_id, c.options) for c in result.checks if c.options} == {
        pair for plan in plans for pair in plan.items()
    }
    assert all(c.passed for c in result.checks)
    for job in (Job("profile", plans[::-1], rounds=2), Job("bench", plans, rounds=2)):
        execution = device.run(bundle, any_toolchain.invoke(bundle, job), Deadline.after(60))
        samples = any_toolchain.read(bundle, job, execution).samples
        assert [s.plan for s in samples] == list(job.plans)
        assert all(s.rounds == (0, 1) and len(s.total_ms) == 2 for s in samples)
        wanted = list(job.plans[0]) if job.kind == "profile" else []
        assert all(list(s.layers_ms) == wanted for s in samples)


def test_a_plan_of_another_bundle_is_refused(any_toolchain: Toolchain, bundle: Bundle, plans: tuple[Plan, ...]) -> None:
    other = plans[0].with_("1034", ConvolutionOptions("winograd", False, 0, 2, 4))
    assert not bundle.runs(other)
    with pytest.raises(ValueError):
        any_toolchain.invoke(bundle, Job("check", (other,)))


@pytest.mark.parametrize(
    ("execution", "error"),
    [
        (Execution(-11, "", "Segmentation fault", {}, 0.1), CandidateError),
        (Execution(-9, "", "", {}, 0.1), InfrastructureError),
        (Execution(3, "", "runner: cannot open weights", {}, 0.1), InfrastructureError),
        (Execution(0, "", "", {}, 0.1), InfrastructureError),
        (Execution(0, "", "", {"result.bin": b"ELLRES01 but no more"}, 0.1), InfrastructureError),
    ],
)
def test_what_went_wrong_is_told_apart(
    any_toolchain: Toolchain, bundle: Bundle, plans: tuple[Plan, ...], execution: Execution, error: type[Exception]
) -> None:
    with pytest.raises(error):
        any_toolchain.read(bundle, Job("check", plans), execution)
