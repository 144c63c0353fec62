"""A stopwatch on what a tuning does: which stage is under way, how long each takes by itself."""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: Where something is looked up -> the stage that it is. Builds run on the tuning's own thread, as do visits.
WATCHED = {
    "ellopt.app.shared:SharedParts.read": "reading models",
    "ellopt.app.tune_model:narrow": "narrowing the space",
    "ellopt.measure.measurer:DeviceMeasurer.board": "looking at the device",
    "ellopt.app.find:search": "the rest of the search",
    "ellopt.search.driver:make_sampler": "making the sampler",
    "ellopt.search.driver:SearchRecord": "opening the study",
    "ellopt.search.record:SearchRecord.ask": "proposing plans",
    "ellopt.search.record:SearchRecord.finish": "keeping trials",
    "ellopt.search.warm_start:WarmStart.recall": "recalling measurements",
    "ellopt.search.warm_start:WarmStart.remember": "remembering measurements",
    "ellopt.measure.measurer:DeviceMeasurer.prepare": "waiting for the reference",
    "ellopt.measure.build:_build": "building",
    "ellopt.toolchains.zig:Compiler.objects": "compiling",
    "ellopt.toolchains.zig:Compiler.link": "linking",
    "ellopt.measure.site:MeasureSite.space_measurements": "pausing",
    "ellopt.measure.on_device:_Visit.run": "visits, without their programs",
    "ellopt.devices.local:LocalDevice.run": "programs of visits",
    "ellopt.app.find:sound_winners": "choosing winners",
    "ellopt.app.find:confirm": "confirming, without its visits",
    "ellopt.app.tune_model:write_output": "writing",
    "ellopt.app.tune_model:write_pictures": "drawing pictures",
    "ellopt.app.tune_all:open_tracking": "opening MLflow",
    "ellopt.tracking.process:WriterProcess.quiet": "waiting for MLflow's writer to rest",
    "ellopt.tracking.process:WriterProcess.close": "ending MLflow",
    "ellopt.tracking.tracked_model:TrackedModel.finish_model": "telling MLflow of the model",
    "ellopt.tracking.tracked_model:TrackedModel.trial_finished": "telling MLflow of trials",
    "ellopt.tracking.tracked_model:TrackedModel.mlflow_run": "waiting for MLflow's answer",
}


@dataclass(frozen=True)
class Ledger:
    """Seconds of each stage by itself, those of its thread's processor among them, and how often it was entered;
    ``beside``: on threads beside the main one."""

    seconds: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)


class Stages:
    """Times stages that may lie within each other, each thread by itself."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._main = threading.get_ident()
        self._within = threading.local()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        inner: list[tuple[float, float]] = getattr(self._within, "inner", [])
        self._within.inner = inner
        inner.append((0.0, 0.0))
        began, worked = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            took, work = time.monotonic() - began, time.thread_time() - worked
            others = inner.pop()
            if inner:
                inner[-1] = (inner[-1][0] + took, inner[-1][1] + work)
            here = threading.get_ident() == self._main
            _add(self.ledger.seconds if here else self.ledger.beside, stage, took - others[0])
            if here:
                _add(self.ledger.processor, stage, work - others[1])
            self.ledger.counts[stage] = self.ledger.counts.get(stage, 0) + 1

    def watch(self) -> None:
        """From now on time everything that is watched."""
        for path, stage in WATCHED.items():
            module, _, name = path.partition(":")
            holder: Any = importlib.import_module(module)
            *outer, last = name.split(".")
            for part in outer:
                holder = getattr(holder, part)
            found = holder.__dict__[last]
            if isinstance(found, property):
                setattr(holder, last, property(self._timed(found.fget, stage)))
            elif last == "quiet":
                setattr(holder, last, self._timed_entry(found, stage))
            else:
                setattr(holder, last, self._timed(found, stage))

    def _timed(self, call: Any, stage: str) -> Callable[..., Any]:
        @functools.wraps(call, updated=())
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.of(stage):
                return call(*arguments, **named)

        return timed

    def _timed_entry(self, manager: Any, stage: str) -> Callable[..., Any]:
        @contextmanager
        def timed(*arguments: Any, **named: Any) -> Iterator[Any]:
            held = manager(*arguments, **named)
            with self.of(stage):
                value = held.__enter__()
            try:
                yield value
            finally:
                held.__exit__(None, None, None)

        return timed


def _add(book: dict[str, float], stage: str, seconds: float) -> None:
    book[stage] = book.get(stage, 0.0) + seconds
