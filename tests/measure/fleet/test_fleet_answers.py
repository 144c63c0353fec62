"""What workers answer is read like a stranger's text: what they may say arrives whole, anything else is refused."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.errors import BuildError, CandidateError, DeadlineExceeded, ElloptError, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck, PlanSamples
from ellopt.devices.bundle import Bundle
from ellopt.devices.pool.sources import BoardFailed
from ellopt.measure.build import BuildResult, BuildTask
from ellopt.measure.executors.dask.answer import Answer
from ellopt.measure.executors.dask.archive import pack, unpack
from ellopt.measure.executors.dask.values import to_json
from ellopt.measure.results import DefaultHangError, Fault, Pace, VisitResult
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.visit import LookTask, VisitTask
from ellopt.targets import find_target

TARGET = find_target("pi3")
OPTIONS = st.builds(ConvolutionOptions, st.sampled_from(["simple", "unrolled"]), st.booleans()) | st.builds(
    ConvolutionOptions, st.just("winograd"), st.booleans(), st.just(0), st.integers(1, 16), st.integers(1, 16)
)
PLANS = st.dictionaries(st.text(min_size=1), OPTIONS, min_size=1, max_size=4).map(Plan.of)
TIMES = st.floats(0, 1e9)
ERRORS = st.builds(
    lambda kind, text: kind(text),
    st.sampled_from([InfrastructureError, DeadlineExceeded, DefaultHangError]),
    st.text(),
) | st.builds(BoardFailed, st.text(), st.text(), st.booleans())


@st.composite
def visits(draw: st.DrawFn) -> tuple[VisitTask, VisitResult]:
    plans = tuple(draw(st.lists(PLANS, min_size=1, max_size=3, unique=True)))
    kind = draw(st.sampled_from(["check", "profile", "outputs"]))
    task = VisitTask("d", Job(kind, plans), MeasureSettings(), 4)
    count = draw(st.integers(1, 4))

    def row() -> tuple[float, ...]:
        return tuple(draw(st.lists(TIMES, min_size=count, max_size=count)))

    checks = tuple(
        LayerCheck(node_id, options, draw(TIMES | st.sampled_from([math.inf, math.nan])), 1e-3)
        for node_id, options in plans[0].items()
    )
    samples = tuple(
        PlanSamples(plan, row(), {n: row() for n in plan}, {"other": row()}, tuple(range(count))) for plan in plans
    )
    outputs = np.array(draw(st.lists(st.floats(width=32), min_size=6, max_size=6)), np.float32)
    result = JobResult(
        samples if kind == "profile" else (), checks, draw(TIMES),
        np.stack([outputs.reshape(2, 3)] * len(plans)) if kind == "outputs" else None,
    )  # fmt: skip
    fault = draw(st.none() | st.builds(Fault, st.sampled_from(["crash", "hang"]), st.just("check"), st.text()))
    pace = draw(st.none() | st.builds(Pace, st.none() | TIMES, st.just(checks)))
    error = draw(st.none() | ERRORS)
    return task, VisitResult(
        draw(st.text()), draw(st.text()), draw(st.booleans()), row(), pace, checks,
        result if fault is None and error is None else None, draw(st.sampled_from(["", "throttled"])), fault, error,
    )  # fmt: skip


def answered(result: object, *archives: bytes, **said: Any) -> Answer:
    """What arrives of an answer with ``result``."""
    text = json.dumps({"worker": "w", "address": "tcp://x", "visit": "v", "result": to_json(result), **said})
    return Answer.read((text.encode(), *archives))


def shown(result: VisitResult) -> tuple[object, ...]:
    """A result without what is not compared by ==: numbers that are none, arrays, errors."""
    error = None if result.error is None else (type(result.error), str(result.error), vars(result.error))
    outputs = None if result.result is None or result.result.outputs is None else result.result.outputs.tobytes()
    return (str(to_json(result)), error, outputs)


@settings(max_examples=100, deadline=None)
@given(visits())
def test_a_result_arrives_as_it_was_sent(visit: tuple[VisitTask, VisitResult]) -> None:
    task, result = visit
    assert shown(answered(result).result_of(task, TARGET)) == shown(result)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def replaced(value: Any, draw: st.DrawFn) -> Any:
    """``value`` with something else somewhere in it."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: replaced(value[key], draw)}
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], replaced(value[place], draw), *value[place + 1 :]]
    return draw(JSON)


@settings(max_examples=200, deadline=None)
@given(visits(), st.data())
def test_whatever_else_is_answered_is_refused_or_possible(visit: tuple[VisitTask, VisitResult], data: Any) -> None:
    task, result = visit
    said = replaced({"worker": "w", "address": "a", "result": to_json(result)}, data.draw)
    try:
        answer = Answer.read((json.dumps(said).encode(),))
    except ValueError:
        return
    try:
        found = answer.result_of(task, TARGET)
    except (ElloptError, RuntimeError):  # what a task may raise, or a bug that the worker speaks of
        return
    assert isinstance(found, VisitResult)
    for samples in () if found.result is None else found.result.samples:
        assert samples.plan in task.job.plans
        assert all(0 <= ms < math.inf for row in (samples.total_ms, *samples.layers_ms.values()) for ms in row)


PLAN = Plan.of({"1": ConvolutionOptions("simple", True)})
GOOD = PlanSamples(PLAN, (1.0, 2.0), {"1": (0.5, 0.6)}, {}, (0, 1))


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([PlanSamples(Plan.of({"2": PLAN["1"]}), (1.0,), {"2": (1.0,)})], "other plans"),
        ([], "other plans"),
        ([GOOD, GOOD], "other plans"),
        ([PlanSamples(PLAN, (1.0,), {"1": (1.0, 2.0)})], "not aligned"),
        ([PlanSamples(PLAN, (1.0, -2.0), {"1": (1.0, 2.0)})], "no times"),
        ([PlanSamples(PLAN, (1.0, math.nan), {"1": (1.0, 2.0)})], "no times"),
        ([PlanSamples(PLAN, (1.0,), {"7": (1.0,)})], "other layers"),
    ],
)
def test_samples_that_cannot_be_are_refused(samples: list[PlanSamples], why: str) -> None:
    task = VisitTask("d", Job("profile", (PLAN,)), MeasureSettings(), 4)
    with pytest.raises(InfrastructureError, match=why):
        answered(VisitResult("board", "kind", result=JobResult(tuple(samples)))).result_of(task, TARGET)


@pytest.mark.parametrize(
    "error", [CandidateError("x"), BuildError("short", "long log"), BoardFailed("board", "gone", True)]
)
def test_an_error_that_a_task_raises_is_raised_here(error: ElloptError) -> None:
    with pytest.raises(type(error), match=str(error)) as raised:
        answered(None, error=to_json(error)).result_of(LookTask(), TARGET)
    assert vars(raised.value) == vars(error)


def test_a_bug_at_a_worker_is_a_bug_here() -> None:
    with pytest.raises(RuntimeError, match="at the worker w: Traceback"):
        answered(None, bug="Traceback").result_of(LookTask(), TARGET)


# --- bundles ------------------------------------------------------------------------------------------------------


def bundle_in(directory: Path) -> Bundle:
    directory.mkdir(parents=True)
    (directory / "runner").write_bytes(b"program")
    (directory / "runner").chmod(0o755)
    (directory / "weights").write_bytes(bytes(1000))
    return Bundle(directory, "ab12", ("runner", "weights"), "native", TARGET, {"1": frozenset({PLAN["1"]})}, 7)


def test_a_bundle_arrives_as_it_was_built(tmp_path: Path) -> None:
    bundle, task = bundle_in(tmp_path / "there"), BuildTask(((PLAN,), (PLAN,)), 10)
    answer = answered(BuildResult((bundle, BuildError("no")), 1.5), pack(bundle.path))
    built = answer.bundles(task, answer.result_of(task, TARGET), "native", tmp_path / "here")
    arrived, failed = built.built
    assert isinstance(arrived, Bundle)
    assert (arrived.digest, arrived.files, arrived.choices, arrived.code_bytes) == (
        bundle.digest, bundle.files, bundle.choices, 7,
    )  # fmt: skip
    assert (arrived.path / "runner").read_bytes() == b"program"
    assert [(arrived.path / name).stat().st_mode & 0o111 for name in bundle.files] == [0o111, 0]
    assert str(failed) == "no"


@pytest.mark.parametrize("wrong", ["digest", "toolchain", "choices", "files", "archive"])
def test_another_bundle_than_was_asked_for_is_refused(tmp_path: Path, wrong: str) -> None:
    bundle, task = bundle_in(tmp_path / "there"), BuildTask(((PLAN,),), 10)
    said = to_json(BuildResult((bundle,), 1.0))
    changes: dict[str, Any] = {"digest": "../../x", "toolchain": "ell", "choices": {"2": ["simple"]}, "files": ["no"]}
    if wrong in changes:
        said["built"][0][wrong] = changes[wrong]
    archives = () if wrong == "archive" else (pack(bundle.path),)
    answer = Answer.read((json.dumps({"worker": "w", "address": "a", "result": said}).encode(), *archives))
    with pytest.raises(InfrastructureError, match="the worker w built"):
        answer.bundles(task, answer.result_of(task, TARGET), "native", tmp_path / "here")


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "..", "a//b", "C:\\x", "a\n"])
def test_no_file_arrives_outside_of_its_directory(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good", b"x")
        archive.writestr(zipfile.ZipInfo(name), b"x")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InfrastructureError, match="a file called"):
        unpack(buffer.getvalue(), tmp_path / "bundle")
    assert set(tmp_path.rglob("*")) == before


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_refused_or_whole(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("archive")
    bundle = bundle_in(folder / "there")
    good = pack(bundle.path)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = data.draw(st.sampled_from([good[:place], good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :]]))
    try:
        unpack(bad, folder / "here")
    except InfrastructureError:
        assert not (folder / "here").exists()
    else:
        for path in (path for path in (folder / "here").rglob("*") if path.name in bundle.files):
            assert path.read_bytes() == (bundle.path / path.name).read_bytes()
