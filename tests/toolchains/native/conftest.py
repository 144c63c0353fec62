"""Fixtures of the toolchain tests: one small model, one bundle of it, this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle, Execution
from ellopt.devices.local import LocalDevice
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.targets import Target, find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.paths import DATA

SIMPLE, UNROLLED = ConvolutionOptions("simple"), ConvolutionOptions("unrolled")
WINOGRAD = ConvolutionOptions("winograd", True, 8, 2, 4)


@pytest.fixture(scope="session")
def toolchain() -> NativeToolchain:
    return NativeToolchain()


@pytest.fixture(scope="session")
def host() -> Target:
    return find_target("host")


@pytest.fixture(scope="session")
def tiny() -> Model:
    return read_model(DATA / "tiny16.ell")


@pytest.fixture(scope="session")
def tiny_plans(tiny: Model) -> tuple[Plan, ...]:
    """Three plans; layers where winograd does not apply are unrolled there."""
    first, *rest = (node.node_id for node in tiny.convolutions)
    winograd = Plan.of({first: WINOGRAD, **dict.fromkeys(rest, UNROLLED.with_parallelize(True))})
    return (Plan.uniform([first, *rest], SIMPLE), Plan.uniform([first, *rest], UNROLLED), winograd)


@pytest.fixture(scope="session")
def build_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="session")
def tiny_bundle(
    toolchain: NativeToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, build_directory: Path
) -> Bundle:
    return toolchain.build(tiny, tiny_plans, host, build_directory, Deadline.after(300))


Runner = Callable[[Job], tuple[Execution, JobResult]]


@pytest.fixture
def run(toolchain: NativeToolchain, tiny_bundle: Bundle, device: LocalDevice) -> Runner:
    """Run a job in the small bundle on this machine."""

    def run_job(job: Job) -> tuple[Execution, JobResult]:
        execution = device.run(tiny_bundle, toolchain.invoke(tiny_bundle, job), Deadline.after(60))
        return execution, toolchain.read(tiny_bundle, job, execution)

    return run_job
