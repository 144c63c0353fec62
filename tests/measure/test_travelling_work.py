"""Work is a value: it survives being sent, and runs in another process without what asked for it."""

from __future__ import annotations

import importlib
import inspect
import math
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ellopt
from ellopt.core.errors import ElloptError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.measure.build import BuildTask
from ellopt.measure.executors import EXECUTORS, ExecutorRow
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.site import MeasureSite
from ellopt.measure.visit import BoardFacts, DefaultRun, LookTask, VisitTask
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from tests.support.pretend import (
    MODEL,
    SMALL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    small_space,
    smooth_latency,
)

OPTIONS = st.builds(ConvolutionOptions, st.sampled_from(["simple", "unrolled"]), st.booleans()) | st.builds(
    ConvolutionOptions, st.just("winograd"), st.booleans(), st.just(0), st.integers(1, 16), st.integers(1, 16)
)
PLANS = st.dictionaries(st.text(min_size=1), OPTIONS, min_size=1, max_size=4).map(Plan.of)
SECONDS = st.floats(0, 1e6) | st.just(math.inf)
DIGESTS = st.text("0123456789abcdef", min_size=1, max_size=64)


@st.composite
def visits(draw: st.DrawFn) -> VisitTask:
    plans = tuple(draw(st.lists(PLANS, min_size=1, max_size=4, unique=True)))
    some = st.frozensets(st.sampled_from(plans))
    kind = draw(st.sampled_from(["check", "profile", "bench", "outputs"]))
    job = Job(
        kind, plans, rounds=draw(st.integers(1, 99)), slow_factor=draw(st.floats(0, 9)), unchecked=draw(some),
        inputs=np.ones((2, 3, 3, 1), np.float32) if kind == "outputs" else None,
    )  # fmt: skip
    facts = st.builds(BoardFacts, some, st.booleans(), st.booleans(), st.none() | st.floats(0, 1e3))
    return VisitTask(
        draw(DIGESTS), job, draw(st.builds(MeasureSettings, visit_spacing=st.floats(0, 9))), draw(st.integers(1, 8)),
        draw(st.booleans()), draw(st.none() | st.builds(DefaultRun, DIGESTS, PLANS, st.booleans())),
        draw(st.dictionaries(st.text(), facts, max_size=3)), draw(SECONDS),
    )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(visits(), st.text())
def test_a_visit_is_the_same_after_a_journey(task: VisitTask, board: str) -> None:
    arrived: VisitTask = pickle.loads(pickle.dumps(task))
    assert arrived == task
    assert arrived.facts(board) == task.facts(board)
    if task.job.inputs is not None:
        np.testing.assert_array_equal(arrived.job.inputs, task.job.inputs)


def test_every_error_survives_a_journey() -> None:
    for module in pkgutil.walk_packages(ellopt.__path__, "ellopt."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    todo, seen = [ElloptError], set()
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        seen.add(kind)
        words = 1
        if inspect.isfunction(kind.__init__):
            parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
            words = sum(parameter.default is parameter.empty for parameter in parameters)
        error = kind(*[f"word {number}" for number in range(words)])
        arrived = pickle.loads(pickle.dumps(error))
        assert (type(arrived), str(arrived), vars(arrived)) == (kind, str(error), vars(error))
    assert len(seen) > 10


# --- an executor that stands in no file of ellopt -----------------------------------------------------------------

_far_site: MeasureSite | None = None
_WRONG = frozenset({(SMALL[1].node_id, ConvolutionOptions("simple", True))})


def _settle() -> None:
    """Make the site of another process, which shares nothing with the one that asks."""
    global _far_site
    pool = PretendPool(PretendDevice(smooth_latency(), wrong=_WRONG, name="far board"))
    _far_site = MeasureSite(MODEL, PretendToolchain(plans_per_bundle=2), pool, TARGET, Path("unused"), lambda s: None)


def _run_there(task: Any) -> Any:
    assert _far_site is not None
    return task.run(_far_site)


class FarExecutor:
    """Sends tasks to a process; ``sent`` counts them by kind."""

    sent: dict[type, int]

    def __init__(self, site: MeasureSite, capacity: int) -> None:
        self.capacity, self.ahead, self.at_once = 2, 0, False
        FarExecutor.sent = {}
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _settle)

    def submit(self, task: Any) -> Future[Any]:
        self.sent[type(task)] = self.sent.get(type(task), 0) + 1
        return self._process.submit(_run_there, task)

    def rest(self) -> None:
        self._process.shutdown(wait=True)


def test_a_search_runs_in_another_process_through_a_row_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "far", ExecutorRow(f"{__name__}:FarExecutor"))
    toolchain = PretendToolchain(plans_per_bundle=2)
    near = PretendPool()  # without a device: nothing can run here
    limits = MeasureSettings(visit_spacing=0.0, executor="far")
    measurer = DeviceMeasurer(MODEL, toolchain, near, TARGET, tmp_path, limits)
    space = small_space(toolchain, (1, 4))
    assert measurer.board() == "pretend board"
    found = search(space, measurer, SearchSettings(sampler="grid", seed=0), tmp_path / "search")
    assert toolchain.builds == []
    assert set(FarExecutor.sent) == {LookTask, BuildTask, VisitTask}
    assert set(found.boards.boards) == {"far board"}
    assert [(f.shape, f.options) for f in measurer.failures] == [(SMALL[1].shape, ConvolutionOptions("simple", True))]

    here = DeviceMeasurer(
        MODEL, toolchain, PretendPool(PretendDevice(smooth_latency(), wrong=_WRONG)), TARGET, tmp_path,
        sleep=lambda s: None,
    )  # fmt: skip
    same = search(space, here, SearchSettings(sampler="grid", seed=0), tmp_path / "here")
    assert same.evidence.best_plan() == found.evidence.best_plan()
