"""ELL's tools for the tests: those of ELL_BUILD_ROOT where it is set, else stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.devices.local import LocalDevice
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.targets import Target, find_target
from ellopt.toolchains.ell.toolchain import EllToolchain
from ellopt.toolchains.ell.tools import EllTools, find_tools
from tests.support.paths import TINY

SIMPLE, UNROLLED = ConvolutionOptions("simple"), ConvolutionOptions("unrolled")
WINOGRAD = ConvolutionOptions("winograd", True, 0, 2, 4)


@pytest.fixture(scope="session")
def toolchain(ell_build_root: Path) -> EllToolchain:
    return EllToolchain(find_tools(None, ell_build_root), parallel_build=2)


@pytest.fixture(scope="session")
def tools(ell_build_root: Path) -> EllTools:
    return find_tools(None, ell_build_root)


@pytest.fixture(scope="session")
def host() -> Target:
    return find_target("host")


@pytest.fixture(scope="session")
def tiny() -> Model:
    return read_model(TINY)


@pytest.fixture(scope="session")
def tiny_plans(tiny: Model) -> tuple[Plan, ...]:
    first, *rest = (node.node_id for node in tiny.convolutions)
    mixed = Plan.of({first: WINOGRAD, rest[0]: SIMPLE, rest[1]: UNROLLED.with_parallelize(True)})
    return (Plan.uniform([first, *rest], UNROLLED), mixed)


@pytest.fixture(scope="session")
def build_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ell-state") / "bundles"


@pytest.fixture(scope="session")
def tiny_bundle(
    toolchain: EllToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, build_directory: Path
) -> Bundle:
    return toolchain.build(toolchain.prepare(tiny), tiny_plans, host, build_directory, Deadline.after(300))


@pytest.fixture
def run(toolchain: EllToolchain, tiny_bundle: Bundle, device: LocalDevice) -> Callable[[Job], JobResult]:
    """Run a job in the small bundle on this machine."""

    def run_job(job: Job) -> JobResult:
        execution = device.run(tiny_bundle, toolchain.invoke(tiny_bundle, job), Deadline.after(60))
        return toolchain.read(tiny_bundle, job, execution)

    return run_job
