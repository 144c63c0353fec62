"""Whole models through ELL's tools: the stand-in always, and the real ones where ELL_BUILD_ROOT says where they are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobKind, JobResult
from ellopt.core.methods import find_method
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.devices.local import LocalDevice
from ellopt.frontends.ell.profile import parse_report
from ellopt.frontends.ell.profile_join import layer_times
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.targets import find_target
from ellopt.toolchains.ell.settings import EllSettings
from ellopt.toolchains.ell.toolchain import EllToolchain
from ellopt.toolchains.ell.tools import find_tools
from tests.support.paths import DATA, REPOSITORY, TINY

MODELS = {
    "tiny16": TINY,
    "cnn64": REPOSITORY / "experiments" / "quickstart" / "cnn64.ell",
    "dw96": DATA / "dw96.ell.zip",
    "res64": DATA / "res64.ell.zip",
    "dk64": DATA / "dk64.ell.zip",
}
#: the real tools have no place among the parameters where there are none
BUILDS = ("stand-in", "ELL") if os.environ.get("ELL_BUILD_ROOT") else ("stand-in",)
TARGET = find_target("host", 2)


@pytest.fixture(scope="module", params=BUILDS)
def exercising(request: pytest.FixtureRequest, standin_root: Path) -> EllToolchain:
    """As with ``--include_exercise_models``."""
    root = Path(os.environ["ELL_BUILD_ROOT"]) if request.param == "ELL" else standin_root
    return EllToolchain(find_tools(None, root), 2, settings=EllSettings(include_exercise_models=True))


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, exercising: EllToolchain) -> Model:
    return exercising.prepare(read_model(MODELS[request.param]))


@pytest.fixture(scope="module")
def plan(model: Model, exercising: EllToolchain) -> Plan:
    """Methods in turn that are right for each layer, every other in parallel."""
    simple, unrolled = ConvolutionOptions("simple"), ConvolutionOptions("unrolled")
    mixed = []
    for i, layer in enumerate(exercising.layers(model)):
        winograd = find_method("winograd").ell_can(layer.shape, ConvolutionOptions("winograd"))
        options = (ConvolutionOptions("winograd", False, 0, 2, 4) if winograd else simple, unrolled, simple)[i % 3]
        wanted = options.with_parallelize(i % 2 == 0)
        mixed.append((layer.node_id, exercising.canonical(layer.shape, wanted, TARGET) or unrolled))
    return Plan(tuple(mixed))


@pytest.fixture(scope="module")
def bundle(model: Model, plan: Plan, exercising: EllToolchain, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exercising.build(model, [plan], TARGET, tmp_path_factory.mktemp("whole"), Deadline.after(600))


def test_outputs_are_right_and_layers_and_whole_passes_are_timed(
    model: Model, plan: Plan, bundle: Bundle, exercising: EllToolchain, device: LocalDevice
) -> None:
    assert any(options.parallelize for options in plan.values())

    def result(kind: JobKind) -> JobResult:
        job = Job(kind, (plan,), rounds=2)
        return exercising.read(bundle, job, device.run(bundle, exercising.invoke(bundle, job), Deadline.after(120)))

    checks = result("check").checks
    assert [(check.node_id, check.options) for check in checks] == list(plan.items())
    assert all(check.passed for check in checks)
    ids = [node.node_id for node in model.convolutions]
    timed: tuple[tuple[JobKind, list[str]], ...] = (("profile", ids), ("bench", []))
    for kind, layers in timed:
        [samples] = result(kind).samples
        assert list(samples.layers_ms) == layers
        assert min(samples.total_ms) > 0
    assert {worker["profiled"] for worker in _workers(bundle)} == {False, True}


def test_the_profiler_reports_every_layer_by_its_method(plan: Plan, bundle: Bundle, model: Model) -> None:
    """The report is printed by what ELL's compiler put into the model, and read as one from a board."""
    profiled = next(i for i, worker in enumerate(_workers(bundle)) if worker["profiled"])
    command = [str(bundle.path / "ell_runner"), "report", str(profiled), "1", "3"]
    done = subprocess.run(command, cwd=bundle.path, capture_output=True, text=True, timeout=120, check=True)
    report = parse_report(done.stdout)
    assert (report.warm_up, report.iterations) == (1, 3)
    layers = layer_times(report, model)
    assert {node_id: layer.method for node_id, layer in layers.items()} == {n: o.method for n, o in plan.items()}
    assert list(layers) == list(plan)


def _workers(bundle: Bundle) -> list[dict[str, Any]]:
    workers: list[dict[str, Any]] = json.loads((bundle.path / "ell.json").read_text())["workers"]
    return workers
