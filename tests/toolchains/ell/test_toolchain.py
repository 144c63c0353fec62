"""Plans through ELL's own tools: built, checked, measured in turns."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, ConfigurationError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape
from ellopt.devices.bundle import Bundle, Execution
from ellopt.devices.emulator import find_qemu
from ellopt.devices.local import LocalDevice
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.frontends.ell.profile import CLOCK_STEP_MS, parse_report
from ellopt.frontends.ell.profile_join import layer_times
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.targets import Target, find_target
from ellopt.toolchains import settling
from ellopt.toolchains.ell.bundle import output_error
from ellopt.toolchains.ell.job import best_forms
from ellopt.toolchains.ell.settings import EllSettings
from ellopt.toolchains.ell.toolchain import EllToolchain
from ellopt.toolchains.ell.tools import EllTools, find_tools
from tests.support.ell_builds import commands, fake

Run = Callable[[Job], JobResult]
standin_only = pytest.mark.skipif(bool(os.environ.get("ELL_BUILD_ROOT")), reason="ELL_BUILD_ROOT is set: no stand-in")


def test_the_whole_output_is_checked(run: Run, tiny_plans: tuple[Plan, ...]) -> None:
    checks = run(Job("check", tiny_plans)).checks
    assert [(c.node_id, c.options) for c in checks] == [pair for plan in tiny_plans for pair in plan.items()]
    assert all(check.passed and check.error > 0 for check in checks)


def test_a_profile_has_the_times_of_layers_by_ancestor(run: Run, tiny: Model, tiny_plans: tuple[Plan, ...]) -> None:
    samples = run(Job("profile", tiny_plans, rounds=4, turn_passes=2)).samples
    assert [s.plan for s in samples] == list(tiny_plans)
    for sample in samples:
        assert sample.rounds == (0, 0, 1, 1, 2, 2, 3, 3)
        assert list(sample.layers_ms) == ["1034", "1038", "1041"]
        assert all(len(values) == len(sample.total_ms) == 8 for values in sample.layers_ms.values())
        assert all(value > 0 for values in sample.layers_ms.values() for value in values)
        assert "1037" in sample.nodes_ms  # a pooling layer
        times = {**sample.layers_ms, **sample.nodes_ms}
        assert set(times) <= {node.node_id for node in tiny.nodes}
        unknown = CLOCK_STEP_MS * (len(times) + 2)  # each node's time is known to a step of ELL's clock
        assert all(sum(v[i] for v in times.values()) <= total + unknown for i, total in enumerate(sample.total_ms))


def test_whole_passes_have_totals_alone(run: Run, tiny_plans: tuple[Plan, ...]) -> None:
    samples = run(Job("bench", tiny_plans, rounds=3)).samples
    assert all(len(s.total_ms) == 3 and not s.layers_ms and min(s.total_ms) > 0 for s in samples)


def test_plans_wait_for_weights_of_their_own_unless_told_not_to(
    toolchain: EllToolchain, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "BYTES_PER_PASS", 64)  # so few that even this model has many

    def waits(job: Job) -> list[int]:
        (text,) = toolchain.invoke(tiny_bundle, job).inputs.values()
        (line,) = (line for line in text.decode().splitlines() if line.startswith("turn_warm_up"))
        return [int(word) for word in line.split()[1:]]

    same = tiny_plans[:1]
    assert all(1 < count <= settling.MOST_PASSES for count in waits(Job("bench", same, turn_warm_up=0)))
    assert set(waits(Job("bench", same, turn_warm_up=9))) == {9}
    assert set(waits(Job("bench", same, turn_warm_up=0, settle=False))) == {0}


def test_the_limit_stops_at_the_end_of_a_round(run: Run, tiny_plans: tuple[Plan, ...]) -> None:
    samples = run(Job("bench", tiny_plans, rounds=10**6, limit_seconds=0.3)).samples
    assert len({len(s.total_ms) for s in samples}) == 1
    assert 1 <= len(samples[0].total_ms) < 10**6


@pytest.mark.usefixtures("tiny_bundle")
def test_every_layer_gets_its_options_and_the_plan_its_threads(build_directory: Path) -> None:
    default, mixed = sorted(commands(build_directory), key=lambda text: "winograd" in text)
    for node_id in ("1034", "1038", "1041"):
        assert f"--nodeOption {node_id},preferredConvolutionMethod,unrolled" in default
        assert f"--nodeOption {node_id},parallelize,false" in default
    assert "--parallelize false" in default
    assert "--parallelize true" in mixed
    assert "--nodeOption 1034,nonseparableFilterBlockDepth,2 --nodeOption 1034,nonseparableChannelDepth,4" in mixed
    assert "--nodeOption 1038,parallelize,false --nodeOption 1041,preferredConvolutionMethod,unrolled" in mixed
    assert "--nodeOption 1041,parallelize,true" in mixed
    assert "--profile" in mixed
    assert f"--modelOption maxThreads,{find_target('host').cores}" in mixed
    assert "--vectorize true" in mixed
    if "_opt.bc" in mixed:
        assert mixed.count("-fp-contract=fast") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize("threads", [2, 3])
def test_the_program_has_the_threads_that_were_asked_for(
    toolchain: EllToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], build_directory: Path, threads: int
) -> None:
    target = find_target("host", threads)
    bundle = toolchain.build(toolchain.prepare(tiny), tiny_plans[1:], target, build_directory, Deadline.after(300))
    command = [str(bundle.path / "ell_runner"), "report", "0", "1", str(1 << 29)]
    with subprocess.Popen(command, cwd=bundle.path, stdout=subprocess.DEVNULL) as process:
        try:
            most, give_up = 0, Deadline.after(20)
            while most < threads and not give_up.passed:
                most = max(most, len(list(Path(f"/proc/{process.pid}/task").iterdir())))
        finally:
            process.kill()
    assert most in (threads, threads + 1)  # the thread that asks works too, or waits


def test_the_same_request_runs_no_program(
    ell_build_root: Path, tiny: Model, tiny_plans: tuple[Plan, ...], tiny_bundle: Bundle, host: Target, tmp_path: Path
) -> None:
    tools = find_tools(None, ell_build_root)
    broken = replace(tools, print=tmp_path / "none")  # compile decides the version, so it stays
    again = EllToolchain(broken).build(tiny, tiny_plans, host, tiny_bundle.path.parent, Deadline.after(1))
    assert again == tiny_bundle


def test_plans_that_were_compiled_are_linked_in_other_company(
    toolchain: EllToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], tiny_bundle: Bundle, host: Target
) -> None:
    directory = tiny_bundle.path.parent
    before = commands(directory)
    alone = toolchain.build(tiny, tiny_plans[1:], host, directory, Deadline.after(60))
    assert commands(directory) == before
    assert alone.runs(tiny_plans[1])
    assert not alone.runs(tiny_plans[0])
    assert not tiny_bundle.runs(tiny_plans[0].with_("1034", tiny_plans[1]["1034"]))  # a mixture is another plan
    with pytest.raises(ValueError, match="without this plan"):
        toolchain.invoke(alone, Job("check", tiny_plans))


def test_a_bundle_holds_so_many_plans_and_no_more(
    toolchain: EllToolchain, tiny: Model, host: Target, tmp_path: Path
) -> None:
    plan = Plan.uniform([node.node_id for node in tiny.convolutions], ELL_DEFAULT)
    many = [plan.with_("1034", ConvolutionOptions("winograd", False, 0, n, 1)) for n in range(1, 10)]
    with pytest.raises(ValueError, match="at most 8 plans, not 9"):
        toolchain.build(tiny, many, host, tmp_path, Deadline.after(60))


@standin_only
def test_the_faster_form_of_the_code_counts(run: Run, toolchain: EllToolchain, tiny_plans: tuple[Plan, ...]) -> None:
    """What LLVM's tools make lacks a pause of 0.3 ms here."""
    samples = run(Job("bench", tiny_plans[:1], rounds=9)).samples
    assert np.median(samples[0].total_ms) < 0.3
    text = toolchain.output_files(tiny_plans[0])["ell_commands.txt"]
    first, second, third, *programs = text.splitlines()
    assert first == "# fastest: passed through LLVM's opt and llc"
    assert float(second.split()[-2]) < float(third.split()[-2])
    assert [Path(line.split()[0]).name for line in programs] == ["compile", "opt", "llc"]


def test_llvm_tools_that_fail_leave_the_plain_form(
    tools: EllTools,
    tiny: Model,
    tiny_plans: tuple[Plan, ...],
    host: Target,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = fake(tmp_path / "opt", "echo 'Invalid record' >&2; exit 1")
    toolchain = EllToolchain(replace(tools, opt=broken, llc=broken), 2)
    with caplog.at_level(logging.WARNING):
        bundle = toolchain.build(tiny, tiny_plans, host, tmp_path / "b", Deadline.after(120))
    assert caplog.text.count("Invalid record") == 1
    workers = json.loads((bundle.path / "ell.json").read_text())["workers"]
    assert [worker["form"] for worker in workers] == ["plain", "plain"]


def test_one_form_for_all_where_layers_are_compared() -> None:
    medians = [{"plain": 1.0, "opt": 2.0}, {"plain": 9.0, "opt": 3.0}]
    assert best_forms(medians, one_for_all=True) == ["opt", "opt"]
    assert best_forms(medians, one_for_all=False) == ["plain", "opt"]
    assert best_forms([{"plain": 1.0, "opt": 2.0}, {"plain": 9.0}], one_for_all=True) == ["plain", "plain"]
    assert best_forms([{}, {"opt": 1.0}], one_for_all=True) == ["plain", "opt"]


def test_the_program_prints_ells_report(tiny_bundle: Bundle, tiny: Model) -> None:
    command = [str(tiny_bundle.path / "ell_runner"), "report", "0", "2", "5"]
    done = subprocess.run(command, cwd=tiny_bundle.path, capture_output=True, text=True, timeout=60, check=True)
    report = parse_report(done.stdout)
    assert (report.warm_up, report.iterations) == (2, 5)
    assert report.model is not None
    assert report.model.count == 5
    layers = layer_times(report, replace_ancestors(tiny))
    assert [(node_id, layer.method) for node_id, layer in layers.items()] == [
        ("1034", "unrolled"),
        ("1038", "unrolled"),
        ("1041", "unrolled"),
    ]


def replace_ancestors(model: Model) -> Model:
    """The model as the toolchain gives it to ELL: a node's ancestor is the node itself."""
    return replace(model, nodes=tuple(replace(node, metadata={}) for node in model.nodes))


def test_whole_models_are_timed_without_profiling_too(
    ell_build_root: Path, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path, device: LocalDevice
) -> None:
    toolchain = EllToolchain(find_tools(None, ell_build_root), 2, settings=EllSettings(include_exercise_models=True))
    bundle = toolchain.build(tiny, tiny_plans[:1], host, tmp_path, Deadline.after(120))
    workers = json.loads((bundle.path / "ell.json").read_text())["workers"]
    assert sorted({worker["profiled"] for worker in workers}) == [False, True]
    assert sum("--profile" in text for text in commands(tmp_path)) == 1
    for kind, layers in (("check", 0), ("profile", 3), ("bench", 0)):
        job = Job(kind, tiny_plans[:1], rounds=3)  # type: ignore[arg-type]
        result = toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60)))
        assert len(result.checks) == (3 if kind == "check" else 0)
        assert [len(s.layers_ms) for s in result.samples] == ([] if kind == "check" else [layers])


def test_where_objects_cannot_be_renamed_a_program_has_one_model(
    tools: EllTools, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path, device: LocalDevice
) -> None:
    toolchain = EllToolchain(tools, one_program=False)
    assert toolchain.plans_per_bundle == 1
    bundle = toolchain.build(tiny, tiny_plans[:1], host, tmp_path, Deadline.after(120))
    assert len(json.loads((bundle.path / "ell.json").read_text())["workers"]) == 1
    job = Job("profile", tiny_plans[:1], rounds=2)
    result = toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60)))
    assert len(result.samples[0].layers_ms) == 3


def test_depthwise_winograd_is_wrong_and_the_others_are_right(
    toolchain: EllToolchain, shared_models: Path, host: Target, tmp_path: Path, device: LocalDevice
) -> None:
    model = toolchain.prepare(read_model(shared_models / "layers" / "dw_3x3.ell"))
    ids = [node.node_id for node in model.convolutions]
    plans = tuple(Plan.uniform(ids, ConvolutionOptions(m)) for m in ("simple", "unrolled", "winograd"))
    bundle = toolchain.build(model, plans, host, tmp_path, Deadline.after(120))

    def check(*some: Plan) -> JobResult:
        job = Job("check", some)
        return toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60)))

    assert all(c.passed for c in check(*plans[:2]).checks)
    with pytest.raises(CandidateError, match="wrong output: off by"):
        check(*plans)


def test_a_softmax_hides_no_error() -> None:
    logits = np.array([[14.0, 1.0, -2.0]])
    wrong = logits + np.array([[0.0, 0.3, 0.0]])
    p, q = (np.exp(x) / np.exp(x).sum() for x in (logits, wrong))
    assert output_error(q.astype(np.float32), p.astype(np.float32), logarithms=False) < 1e-5
    assert output_error(q.astype(np.float32), p.astype(np.float32), logarithms=True) > 0.01
    assert output_error(p.astype(np.float32), p.astype(np.float32), logarithms=True) < 1e-6
    assert output_error(np.array([[np.nan]], np.float32), np.ones((1, 1), np.float32), False) == math.inf


def test_a_predictor_node_is_written_out_before_ell_sees_it(
    toolchain: EllToolchain, shared_models: Path, ell_build_root: Path
) -> None:
    model = read_model(shared_models / "dk64.ell")
    assert toolchain.prepare(model) is model  # print shows the very same convolution layers
    assert len(toolchain.layers(model)) == len(model.convolutions) > 1


SHAPE = ConvolutionShape(16, 16, 8, 12, 3, 1, 1, False, 16, 16)
FIRST = replace(SHAPE, channels=3)
DEPTHWISE = replace(SHAPE, filters=8, depthwise=True)


@pytest.mark.parametrize(
    ("shape", "target", "options", "expected"),
    [
        (SHAPE, "pi3", "simple parallel", "simple parallel"),
        (SHAPE, "pi0", "simple parallel", "simple"),  # one core
        (SHAPE, "pi3", "unrolled gwide", "unrolled"),
        (SHAPE, "pi3", "winograd s1 f2 c6", "winograd"),  # matrices: depths change nothing
        (SHAPE, "pi3", "winograd t4 s1 f2 c6", None),
        (FIRST, "pi3", "winograd s1 f2 c6 parallel", "winograd f2 c6 parallel"),
        (FIRST, "pi3", "winograd s1", "winograd f2 c4"),  # ELL's own defaults
        (DEPTHWISE, "pi3", "winograd s6 f2 c6", "winograd s6"),
        (DEPTHWISE, "pi3", "winograd f2", "winograd s8"),
        (replace(SHAPE, stride=2), "pi3", "winograd s1 f2 c6", None),
        (replace(SHAPE, receptive_field=5), "pi3", "winograd s1 f2 c6", None),
    ],
)
def test_options_that_give_the_same_code_are_one(
    toolchain: EllToolchain, shape: ConvolutionShape, target: str, options: str, expected: str | None
) -> None:
    found = toolchain.canonical(shape, ConvolutionOptions.parse(options), find_target(target))
    assert (None if found is None else str(found)) == expected
    if found is not None:
        assert toolchain.canonical(shape, found, find_target(target)) == found


def test_a_crash_is_the_candidates_fault(
    toolchain: EllToolchain, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...]
) -> None:
    with pytest.raises(CandidateError, match="crashed"):
        toolchain.read(tiny_bundle, Job("check", tiny_plans), Execution(-11, "", "Segmentation fault", {}, 0.1))


def test_code_for_a_pi_is_linked_here(
    toolchain: EllToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], tmp_path: Path
) -> None:
    pi3 = find_target("pi3")
    try:
        find_qemu(pi3)
    except ConfigurationError as error:
        pytest.skip(f"{error} (Debian package qemu-user)")
    bundle = toolchain.build(tiny, tiny_plans, pi3, tmp_path, Deadline.after(300))
    assert all("--target pi3 " in text and "--blas false" in text for text in commands(tmp_path))
    settings = DeviceSettings(emulate=True)
    with open_pool(settings, pi3) as pool, pool.lease(Deadline.after(60)) as device:
        job = Job("check", tiny_plans)
        checks = toolchain.read(
            bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60))
        ).checks
    assert len(checks) == 6
    assert all(check.passed for check in checks)
