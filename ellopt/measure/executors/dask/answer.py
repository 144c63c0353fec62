"""What a worker answers to an order, read like a stranger's text, and believed as far as it fits what was asked."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ellopt.core.errors import ElloptError, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck, PlanSamples
from ellopt.devices.bundle import Bundle
from ellopt.files.json_text import JsonLimits
from ellopt.files.json_values import decode, parse_object
from ellopt.measure.build import BuildResult, BuildTask
from ellopt.measure.executors.base import Task
from ellopt.measure.executors.dask.archive import unpack
from ellopt.measure.executors.dask.values import from_json, result_kind
from ellopt.measure.results import VisitResult
from ellopt.measure.visit import VisitTask
from ellopt.targets import Target

_DIGEST = re.compile(r"[0-9A-Za-z]{1,128}")
_LIMITS = JsonLimits(values=20_000_000)


@dataclass(frozen=True)
class Answer:
    """See ``work.perform``. ``archives``: the bundles that were built, packed."""

    worker: str
    address: str
    missing: tuple[str, ...] = ()
    result: Any = None
    error: Any = None
    bug: str = ""
    archives: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, parts: object) -> Answer:
        """Raises ValueError for anything that is no answer."""
        if not isinstance(parts, tuple) or not parts or not all(isinstance(part, bytes) for part in parts):
            raise ValueError("a worker answered with something else than texts")
        said = parse_object(parts[0], _LIMITS)
        said.pop("visit", None)
        return replace(decode(cls, {**said, "archives": []}), archives=tuple(parts[1:]))

    def result_of(self, task: Task[Any, Any], target: Target | None) -> Any:
        """What came of ``task``. Raises the ElloptError that the task raised, RuntimeError for a bug at the worker, and
        InfrastructureError for what cannot be the result."""
        if self.bug:
            raise RuntimeError(f"at the worker {self.worker}: {self.bug}")
        try:
            if self.error is not None:
                raise from_json(ElloptError, self.error)
            result = from_json(result_kind(task), self.result, target)
            if isinstance(task, VisitTask):
                _believe_visit(task.job, result)
        except ValueError as error:
            raise InfrastructureError(f"the worker {self.worker} answered with what cannot be: {error}") from error
        return result

    def bundles(self, task: BuildTask, result: BuildResult, toolchain: str, directory: Path) -> BuildResult:
        """``result`` with the bundles unpacked below ``directory``. Raises InfrastructureError for bundles that are not
        what was asked for."""
        archives = iter(self.archives)
        found: list[Any] = []
        if len(result.built) != len(task.groups):
            raise InfrastructureError(
                f"the worker {self.worker} built {len(result.built)} bundles, not {len(task.groups)}"
            )
        for plans, built in zip(task.groups, result.built, strict=True):
            if not isinstance(built, Bundle):
                found.append(built)
                continue
            data = next(archives, None)
            fits = _DIGEST.fullmatch(built.digest) and built.toolchain == toolchain and all(map(built.runs, plans))
            if data is None or not fits:
                raise InfrastructureError(f"the worker {self.worker} built another bundle than was asked for")
            place = directory / f"built-{built.digest[:32]}"
            unpack(data, place)
            if lacking := [name for name in built.files if not (place / name).is_file()]:
                raise InfrastructureError(f"the worker {self.worker} built a bundle without {lacking[0]}")
            found.append(replace(built, path=place))
        return replace(result, built=tuple(found))


def _believe_visit(job: Job, result: VisitResult) -> None:
    """Raise ValueError for what no visit with ``job`` yields."""
    if result.disturbed and len(result.disturbed) > 1000:
        raise ValueError("a disturbance of a thousand letters")
    if not all(0 <= seconds < math.inf for seconds in result.runs):
        raise ValueError("runs that took no time")
    done = result.result or JobResult()
    pace = () if result.pace is None else result.pace.checks
    _believe_checks((*result.checks, *done.checks, *pace), job.plans)
    if result.result is None:
        return
    if job.kind in ("profile", "bench") and [samples.plan for samples in done.samples] != list(job.plans):
        raise ValueError("samples of other plans")
    for samples in done.samples:
        _believe_samples(samples)
    if job.kind == "outputs" and (done.outputs is None or len(done.outputs) != len(job.plans)):
        raise ValueError("outputs of other plans")


def _believe_checks(checks: Sequence[LayerCheck], plans: Sequence[Plan]) -> None:
    known = {node_id for plan in plans for node_id in plan}
    if unknown := [c.node_id for c in checks if c.options is not None and c.node_id not in known]:
        raise ValueError(f"a check of a layer {unknown[0]!r}")


def _believe_samples(samples: PlanSamples) -> None:
    count = len(samples.total_ms)
    rows = (*samples.layers_ms.values(), *samples.nodes_ms.values())
    if set(samples.layers_ms) - set(samples.plan):
        raise ValueError("samples of other layers")
    if any(len(row) != count for row in rows) or len(samples.rounds) not in (0, count):
        raise ValueError("samples that are not aligned")
    if not all(0 <= ms < math.inf for row in (samples.total_ms, *rows) for ms in row):
        raise ValueError("times that are no times")
