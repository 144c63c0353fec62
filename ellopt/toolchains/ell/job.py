"""The language between this side and a program of ELL's models: rows of a job, and what its results mean.

A row of a job is one compiled model: a plan in one form of its code, with profiling or without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.core.job import Job
from ellopt.core.samples import LayerCheck, PlanSamples
from ellopt.frontends.ell.profile import CLOCK_STEP_MS
from ellopt.model.layers import FloatArray
from ellopt.toolchains.ell.bundle import EllManifest, output_error
from ellopt.toolchains.ell.compile import PLAIN
from ellopt.toolchains.native.job import PICOSECONDS_PER_MS, Choice, JobText, Records

#: largest error of the model's output relative to its largest value
OUTPUT_LIMIT = 1e-3

#: Less than this stands for a layer that no node of the profile was made of.
_NO_TIME_MS = -100.0

Milliseconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A row of the job that the runner gets. ``plan`` is the plan's number in the job."""

    plan: int
    form: str
    profiled: bool


def job_rows(manifest: EllManifest, job: Job) -> tuple[JobText, tuple[Row, ...]]:
    """The job as the runner is told it, and what its rows are. Raises ValueError for a plan that is not there.

    Whole passes are timed without profiling where such code is there.
    """
    exercised = any(not worker.profiled for worker in manifest.workers)
    wanted = (True,) if not exercised else (False,) if job.kind == "bench" else (True, False)
    found = [
        (Row(number, form, profiled), index)
        for number, plan in enumerate(job.plans)
        for profiled in wanted
        for form, index in manifest.workers_of(plan, profiled).items()
    ]
    text = JobText(
        job.kind,
        job.threads or manifest.threads,
        [[Choice(index, False, (0, 0, 0))] for _, index in found],
        job.warm_up,
        job.rounds,
        job.turn_passes,
        job.limit_seconds,
        job.slow_factor,
        turn_warm_up=[manifest.turn_warm_up(job.plans[row.plan], job) for row, _ in found],
    )
    return text, tuple(row for row, _ in found)


@dataclass(frozen=True)
class Timing:
    """What was measured of one plan: samples in the faster form of its code, and the medians of all forms, ms."""

    samples: PlanSamples
    form: str
    medians: Mapping[str, float]


def timings(manifest: EllManifest, job: Job, rows: Sequence[Row], records: Records) -> tuple[Timing, ...]:
    """What a profile or bench job measured, plan by plan.

    In a bench job each plan counts by its faster form. In a profile job all plans count by the form that is faster
    over all of them, so that layers can be compared. A layer takes a step of ELL's clock at least. Raises
    CandidateError if the profile passes a layer over.
    """
    words = records.words
    passes = {row: words[words[:, 0] == i] if words.size else words for i, row in enumerate(rows)}
    # Whole passes are those without profiling, where there are such.
    profiled = all(row.profiled for row in rows)
    totals = {row: _ms(found, 2) for row, found in passes.items() if row.profiled == profiled and found.size}
    medians = [
        {row.form: float(np.median(ms)) for row, ms in totals.items() if row.plan == number}
        for number in range(len(job.plans))
    ]
    result = []
    for number, form in enumerate(best_forms(medians, one_for_all=job.kind == "profile")):
        whole = Row(number, form, profiled)
        total = totals.get(whole, np.zeros(0))
        rounds = passes[whole][:, 1].tolist() if len(total) else []
        nodes: dict[str, Milliseconds] = {}
        timed = passes.get(Row(number, form, True))
        if job.kind == "profile" and timed is not None and timed.size:
            count = min(len(total), len(timed))
            total, rounds = total[:count], rounds[:count]
            nodes = {node_id: _ms(timed, 3 + i)[:count] for i, node_id in enumerate(manifest.slots)}
        silent = [node_id for node_id in manifest.layers if node_id in nodes and (nodes[node_id] < _NO_TIME_MS).any()]
        if silent and len(total):
            raise CandidateError(f"ELL's profile has no time for layer {', '.join(silent)}")
        layers = {
            node_id: tuple(np.maximum(nodes.pop(node_id), CLOCK_STEP_MS).tolist())
            for node_id in manifest.layers
            if node_id in nodes
        }
        others = {node_id: tuple(np.maximum(ms, 0.0).tolist()) for node_id, ms in nodes.items() if (ms > 0).any()}
        samples = PlanSamples(job.plans[number], tuple(total.tolist()), layers, others, tuple(rounds))
        result.append(Timing(samples, form, medians[number]))
    return tuple(result)


def best_forms(medians: Sequence[Mapping[str, float]], one_for_all: bool) -> list[str]:
    """The faster form of each plan's code; with ``one_for_all`` that which is faster over all, if all have it."""
    if one_for_all and medians:
        common = set.intersection(*(set(forms) for forms in medians))
        if common:
            best = min(sorted(common), key=lambda form: sum(forms[form] for forms in medians))
            return [best] * len(medians)
    return [min(forms, key=lambda form: forms[form]) if forms else PLAIN for forms in medians]


def checks(
    manifest: EllManifest, job: Job, rows: Sequence[Row], records: Records, expected: FloatArray
) -> tuple[LayerCheck, ...]:
    """One check for each layer of each plan. Raises CandidateError for a wrong output.

    Only the model's output can be seen: it is right or wrong for all layers of a plan together. ``expected`` is
    [check input, element].
    """
    words = records.words
    if len(words) != len(rows) * len(expected) or (words.size and words.shape[1] != 2 + expected.shape[1]):
        size = words.shape[1] - 2 if words.size else 0
        raise InfrastructureError(f"the result has {size} output values, the model has {expected.shape[1]}")
    errors = [0.0] * len(job.plans)
    values = words[:, 2:].astype("<u4").view("<f4").reshape(len(rows), len(expected), -1)
    for row, outputs in zip(rows, values, strict=True):
        error = output_error(outputs, expected, manifest.log_outputs)
        if error > OUTPUT_LIMIT:
            raise CandidateError(
                f"wrong output: off by {error:.3g} of the largest value, {OUTPUT_LIMIT:g} is allowed ({row.form} code)"
            )
        errors[row.plan] = max(errors[row.plan], error)
    return tuple(
        LayerCheck(node_id, options, error, OUTPUT_LIMIT)
        for plan, error in zip(job.plans, errors, strict=True)
        for node_id, options in plan.items()
    )


def _ms(words: npt.NDArray[np.int64], column: int) -> Milliseconds:
    result: Milliseconds = words[:, column] / PICOSECONDS_PER_MS
    return result
