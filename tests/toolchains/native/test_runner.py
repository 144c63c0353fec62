"""What the runner does with a job, and which results are believed."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.codegen.lower import lower
from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle, Execution
from ellopt.devices.local import LocalDevice
from ellopt.frontends.ell.read import read_model
from ellopt.targets import Target
from ellopt.toolchains import settling
from ellopt.toolchains.native.bundle import Manifest
from ellopt.toolchains.native.results import read_records
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.paths import DATA, TINY

CASES = DATA / "cases"
Runner = Callable[[Job], tuple[Execution, JobResult]]


def test_a_check_has_every_layer_of_every_plan_once_and_passes(run: Runner, tiny_plans: tuple[Plan, ...]) -> None:
    _, result = run(Job("check", tiny_plans))
    expected = [(node_id, plan[node_id]) for plan in tiny_plans for node_id in plan]
    assert [(check.node_id, check.options) for check in result.checks if check.options] == expected
    assert sum(check.options is None for check in result.checks) == len(tiny_plans), "the worst of the other steps"
    assert all(check.passed for check in result.checks)


@pytest.mark.parametrize("wrong", [1e3, -1e3, float("nan"), float("inf")])
def test_a_wrong_step_fails_its_check_whatever_its_kind(
    toolchain: NativeToolchain,
    tiny_bundle: Bundle,
    tiny_plans: tuple[Plan, ...],
    device: LocalDevice,
    tmp_path: Path,
    wrong: float,
) -> None:
    """One value of the reference of one step is made wrong: that step disagrees with it. So may a later step,
    which reads the wrong value; no earlier one does."""
    for name in tiny_bundle.files:
        (tmp_path / name).write_bytes((tiny_bundle.path / name).read_bytes())
        (tmp_path / name).chmod(0o755)
    good = (tmp_path / "reference.bin").read_bytes()
    network = lower(read_model(TINY))
    offset, kinds = 0, set()
    for number, step in enumerate(network.steps):
        tensor = network.tensors[step.output]
        if step.kind == "copy":
            continue
        data = bytearray(good)
        data[4 * offset : 4 * offset + 4] = struct.pack("<f", wrong)
        (tmp_path / "reference.bin").write_bytes(data)
        for job in (Job("check", tiny_plans), Job("profile", tiny_plans, rounds=1, unchecked=frozenset(tiny_plans))):
            invocation = toolchain.invoke(tiny_bundle, job)
            execution = device.run(replace(tiny_bundle, path=tmp_path), invocation, Deadline.after(60))
            checks = toolchain.read(tiny_bundle, job, execution).checks
            failed = [(c.node_id, c.options is None) for c in checks if not c.passed]
            assert (step.reported_id, step.kind != "convolution") in failed or step.kind != "convolution"
            assert {node_id for node_id, _ in failed} <= {later.reported_id for later in network.steps[number:]}
            assert len(failed) >= len(tiny_plans)
        offset += tensor.elements
        kinds.add(step.kind)
    assert 4 * offset == len(good)
    assert {"convolution", "pooling", "fully_connected", "softmax"} <= kinds


@pytest.mark.parametrize("kind", ["profile", "bench"])
def test_unchecked_plans_are_checked_once_while_they_are_measured(
    kind: str, run: Runner, tiny_plans: tuple[Plan, ...]
) -> None:
    some = frozenset(tiny_plans[1:])
    _, result = run(Job(kind, tiny_plans, rounds=2, turn_warm_up=2, turn_passes=3, slow_factor=1e9, unchecked=some))
    expected = [(node_id, plan[node_id]) for plan in tiny_plans[1:] for node_id in plan]
    assert [(check.node_id, check.options) for check in result.checks if check.options] == expected
    assert all(check.passed for check in result.checks)
    assert [samples.rounds for samples in result.samples] == [(0, 0, 0, 1, 1, 1)] * 3
    assert all(0 < ms < 1000 for samples in result.samples for ms in samples.total_ms)


def test_a_plan_has_the_untimed_passes_that_its_weights_need(
    toolchain: NativeToolchain, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...], device: LocalDevice
) -> None:
    manifest = Manifest.read(tiny_bundle.path)
    assert manifest is not None
    job = Job("bench", tiny_plans, warm_up=0, turn_warm_up=0, rounds=2, limit_seconds=1.0)
    invocation = toolchain.invoke(tiny_bundle, job)
    plain = toolchain.job_text(manifest, job)
    # So many passes take more than the second after which no new round begins, however fast the machine is.
    waiting = replace(plain, turn_warm_up=(0, 10**6, 0))
    for text, rounds in (plain, 2), (waiting, 1):
        inputs = {name: text.encode() for name in invocation.inputs}
        execution = device.run(tiny_bundle, replace(invocation, inputs=inputs), Deadline.after(300))
        words = read_records(execution, text, len(manifest.steps)).words
        assert words[:, 0].tolist() == [0, 1, 2] * rounds


def test_an_unchecked_plan_without_an_untimed_pass_gets_one_that_checks_it(
    run: Runner, tiny_plans: tuple[Plan, ...]
) -> None:
    job = Job("profile", tiny_plans, warm_up=0, turn_warm_up=0, rounds=2, unchecked=frozenset(tiny_plans))
    _, result = run(replace(job, settle=False))
    expected = [(node_id, plan[node_id]) for plan in tiny_plans for node_id in plan]
    assert [(check.node_id, check.options) for check in result.checks if check.options] == expected
    assert [samples.rounds for samples in result.samples] == [(0, 1)] * 3


def test_plans_wait_for_other_weights_unless_told_not_to(
    toolchain: NativeToolchain, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "BYTES_PER_PASS", 64)  # so few that even this model has many
    manifest = Manifest.read(tiny_bundle.path)
    assert manifest is not None
    simple, _, winograd = tiny_plans
    first = next(iter(winograd))
    sequential = winograd.with_(first, winograd[first].with_parallelize(False))
    plans = (simple, winograd, sequential)
    waits = toolchain.job_text(manifest, Job("profile", plans)).turn_warm_up
    assert [count > 1 for count in waits] == [True, True, False]
    assert toolchain.job_text(manifest, Job("profile", plans, settle=False)).turn_warm_up == (1, 1, 1)
    assert toolchain.job_text(manifest, Job("profile", plans, turn_warm_up=9)).turn_warm_up == (9, 9, 9)


@pytest.mark.parametrize("kind", ["profile", "bench"])
def test_plans_are_interleaved_round_by_round(kind: str, run: Runner, tiny_plans: tuple[Plan, ...]) -> None:
    _, result = run(Job(kind, tiny_plans, warm_up=2, rounds=4, turn_warm_up=1, turn_passes=3))
    assert [samples.plan for samples in result.samples] == list(tiny_plans)
    for samples in result.samples:
        assert samples.rounds == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
        assert len(samples.total_ms) == 12
        assert all(0 < ms < 1000 for ms in samples.total_ms)


def test_a_profile_has_the_time_of_every_node(run: Runner, tiny_plans: tuple[Plan, ...]) -> None:
    _, result = run(Job("profile", tiny_plans, rounds=3))
    for samples in result.samples:
        assert list(samples.layers_ms) == list(samples.plan)
        assert {"1037", "1044", "1046"} <= set(samples.nodes_ms)  # pooling, fully connected, softmax
        columns = [*samples.layers_ms.values(), *samples.nodes_ms.values()]
        for i, total in enumerate(samples.total_ms):
            assert sum(column[i] for column in columns) == pytest.approx(total, rel=1e-5)


def test_a_bench_has_totals_alone(run: Runner, tiny_plans: tuple[Plan, ...]) -> None:
    _, result = run(Job("bench", tiny_plans[:1], rounds=2))
    assert result.samples[0].layers_ms == {}
    assert result.samples[0].nodes_ms == {}
    assert len(result.samples[0].total_ms) == 2


@pytest.mark.parametrize("kind", ["profile", "bench"])
@pytest.mark.parametrize("warm_up", [0, 2])
def test_a_model_shorter_than_the_clock_can_tell_is_timed_in_batches(
    kind: str, warm_up: int, toolchain: NativeToolchain, host: Target, device: LocalDevice, tmp_path: Path
) -> None:
    """A whole pass takes some 100 ns. A mean over many has fractions of a nanosecond, a single pass never has."""
    model = toolchain.prepare(read_model(CASES / "confirmation_prefers_slower" / "tiny_outputs.ell"))
    [node] = model.convolutions
    plans = tuple(Plan.of({node.node_id: ConvolutionOptions(method)}) for method in ("simple", "unrolled"))
    bundle = toolchain.build(model, plans, host, tmp_path, Deadline.after(300))
    job = Job(kind, plans, warm_up=warm_up, turn_warm_up=warm_up, rounds=4, turn_passes=5, settle=False)
    execution = device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60))
    result = toolchain.read(bundle, job, execution)
    for samples in result.samples:
        assert samples.rounds == tuple(r for r in range(4) for _ in range(5))
        nanoseconds = [ms * 1e6 for ms in samples.total_ms]
        assert all(0 < ns < 1e6 for ns in nanoseconds)
        assert any(abs(ns - round(ns)) > 1e-2 for ns in nanoseconds)
    assert result.seconds * 1e9 >= 2 * 20 * 1000, "each sample lasts a thousand nanoseconds at least"


def test_the_limit_stops_at_the_end_of_a_round(run: Runner, tiny_plans: tuple[Plan, ...]) -> None:
    _, result = run(Job("bench", tiny_plans, rounds=10_000_000, limit_seconds=0.3))
    counts = {len(samples.total_ms) for samples in result.samples}
    assert len(counts) == 1
    assert 1 <= counts.pop() < 10_000_000
    assert 0.3 <= result.seconds < 5


def test_a_plan_that_is_too_slow_keeps_one_sample(run: Runner, tiny_plans: tuple[Plan, ...]) -> None:
    _, result = run(Job("bench", tiny_plans, warm_up=3, rounds=5, turn_passes=2, slow_factor=1e-9))
    assert [len(samples.total_ms) for samples in result.samples] == [1, 1, 1]
    _, result = run(Job("bench", tiny_plans, warm_up=3, rounds=5, turn_passes=2, slow_factor=1e9))
    assert [samples.rounds for samples in result.samples] == [(0, 0, 1, 1, 2, 2, 3, 3, 4, 4)] * 3


def test_options_that_give_a_built_kernel_run_without_being_asked_for(
    run: Runner, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...]
) -> None:
    plan = tiny_plans[1].with_(list(tiny_plans[1])[1], ConvolutionOptions("unrolled", parallelize=True))
    _, result = run(Job("check", (plan,)))
    assert all(check.passed for check in result.checks)


def test_a_plan_that_the_bundle_lacks_is_refused(
    toolchain: NativeToolchain, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...]
) -> None:
    first = next(iter(tiny_plans[0]))
    lacking = tiny_plans[0].with_(first, ConvolutionOptions("winograd", winograd_tile_size=6))
    assert not tiny_bundle.runs(lacking)
    with pytest.raises(ValueError, match=first):
        toolchain.invoke(tiny_bundle, Job("bench", (lacking,)))


@pytest.fixture
def done(run: Runner, tiny_plans: tuple[Plan, ...]) -> tuple[Job, Execution]:
    job = Job("bench", tiny_plans, rounds=2)
    return job, run(job)[0]


@pytest.mark.parametrize("keep", [0, 7, 60, -1, -8])
def test_a_truncated_result_is_an_infrastructure_failure(
    keep: int, done: tuple[Job, Execution], toolchain: NativeToolchain, tiny_bundle: Bundle
) -> None:
    job, execution = done
    cut = {name: data[:keep] for name, data in execution.outputs.items()}
    with pytest.raises(InfrastructureError):
        toolchain.read(tiny_bundle, job, replace(execution, outputs=cut))


def test_any_altered_byte_is_noticed(
    done: tuple[Job, Execution], toolchain: NativeToolchain, tiny_bundle: Bundle
) -> None:
    job, execution = done
    ((name, data),) = execution.outputs.items()
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 0x10
        with pytest.raises(InfrastructureError):
            toolchain.read(tiny_bundle, job, replace(execution, outputs={name: bytes(altered)}))


def test_the_result_of_another_job_is_noticed(
    done: tuple[Job, Execution], toolchain: NativeToolchain, tiny_bundle: Bundle
) -> None:
    job, execution = done
    with pytest.raises(InfrastructureError, match="another job"):
        toolchain.read(tiny_bundle, replace(job, warm_up=7), execution)


def test_no_result_is_an_infrastructure_failure(
    done: tuple[Job, Execution], toolchain: NativeToolchain, tiny_bundle: Bundle
) -> None:
    job, execution = done
    with pytest.raises(InfrastructureError, match="no result"):
        toolchain.read(tiny_bundle, job, replace(execution, outputs={}))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (-signal.SIGSEGV, CandidateError),
        (128 + signal.SIGSEGV, CandidateError),
        (-signal.SIGILL, CandidateError),
        (-signal.SIGKILL, InfrastructureError),
        (-signal.SIGTERM, InfrastructureError),
        (3, InfrastructureError),
        (127, InfrastructureError),
    ],
)
def test_a_crash_is_the_candidates_fault_and_a_kill_is_not(
    code: int,
    error: type[Exception],
    done: tuple[Job, Execution],
    toolchain: NativeToolchain,
    tiny_bundle: Bundle,
) -> None:
    job, execution = done
    with pytest.raises(error):
        toolchain.read(tiny_bundle, job, replace(execution, exit_code=code))


def test_a_damaged_bundle_is_noticed_by_the_runner(
    toolchain: NativeToolchain, tiny_bundle: Bundle, tiny_plans: tuple[Plan, ...], device: LocalDevice, tmp_path
) -> None:
    for name in tiny_bundle.files:
        (tmp_path / name).write_bytes((tiny_bundle.path / name).read_bytes())
        (tmp_path / name).chmod(0o755)
    (tmp_path / "weights.bin").write_bytes(b"short")
    job = Job("bench", tiny_plans)
    broken = replace(tiny_bundle, path=tmp_path)
    execution = device.run(broken, toolchain.invoke(tiny_bundle, job), Deadline.after(60))
    assert execution.exit_code == 3
    assert "weights.bin" in execution.stderr
    with pytest.raises(InfrastructureError, match=r"weights\.bin"):
        toolchain.read(tiny_bundle, job, execution)
