"""What the runner of a native bundle left, as samples and checks."""

from __future__ import annotations

import signal

import numpy as np

from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.core.job import Job
from ellopt.core.methods import find_method
from ellopt.core.samples import LayerCheck, PlanSamples
from ellopt.devices.bundle import Execution
from ellopt.toolchains.native.bundle import Manifest
from ellopt.toolchains.native.job import PICOSECONDS_PER_MS, JobText, Records, decode

RESULT = "result.bin"
#: Largest error of a step in units of what float32 may be off in any order of summation (see ``model.rounding``).
#: A method that makes sums first, or in float16, may lose more (see ``Method.rounding``).
LIMIT = 1.0
UNIT = "times what float32 may be"


def read_records(execution: Execution, job: JobText, steps: int) -> Records:
    """The records that an execution left. Raises CandidateError if the runner crashed by itself and
    InfrastructureError for everything else that went wrong."""
    if (code := execution.exit_code) != 0:
        said = execution.stderr.strip()[-500:]
        number = -code if code < 0 else code - 128 if code > 128 else 0
        crashes = {
            getattr(signal, name, None) for name in ("SIGSEGV", "SIGILL", "SIGFPE", "SIGABRT", "SIGBUS", "SIGTRAP")
        }
        if number in {int(s) for s in crashes if s is not None}:
            raise CandidateError(f"the program crashed with signal {number} {said}".strip())
        raise InfrastructureError(f"the runner ended with exit code {code}: {said}")
    if RESULT not in execution.outputs:
        raise InfrastructureError("the runner left no result file")
    return decode(execution.outputs[RESULT], job, steps)


def read_samples(manifest: Manifest, job: Job, records: Records) -> tuple[PlanSamples, ...]:
    words = records.words
    result: list[PlanSamples] = []
    for i, plan in enumerate(job.plans):
        mine = words[(words[:, 0] == i) & (words[:, 1] >= 0)] if words.size else words
        rounds, total = (
            (tuple(mine[:, 1].tolist()), mine[:, 2] / PICOSECONDS_PER_MS) if mine.size else ((), np.zeros(0))
        )
        layers: dict[str, tuple[float, ...]] = {}
        nodes: dict[str, tuple[float, ...]] = {}
        if job.kind == "profile" and mine.size:
            sums: dict[tuple[bool, str], np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
            for column, step in enumerate(manifest.steps):
                key = (step.layer >= 0, step.node_id)
                sums[key] = sums.get(key, np.zeros(len(mine))) + mine[:, 3 + column] / PICOSECONDS_PER_MS
            layers = {node: tuple(sums[True, node].tolist()) for node in manifest.order}
            nodes = {node: tuple(v.tolist()) for (is_layer, node), v in sums.items() if not is_layer}
        result.append(PlanSamples(plan, tuple(total.tolist()), layers, nodes, rounds))
    return tuple(result)


def read_checks(manifest: Manifest, job: Job, records: Records) -> tuple[LayerCheck, ...]:
    """The checks of layers, and for each plan that of the worst other step."""
    found: list[LayerCheck] = []
    words = records.words[records.words[:, 1] < 0] if records.words.size else np.zeros((0, 3), np.int64)
    checked = len(job.plans) if job.kind == "check" else len(job.unchecked)
    layers = len(manifest.layers)
    if len(words) != checked * (layers + 1):
        raise InfrastructureError("the result lacks checks")
    errors = np.ascontiguousarray(words[:, 2]).view(np.float64)
    for (plan_index, what), error in zip(words[:, :2].tolist(), errors.tolist(), strict=True):
        place = -1 - what
        if place < layers:
            layer = manifest.layers[place]
            options = job.plans[plan_index][layer.node_id]
            rounding = find_method(options.method).rounding(options, layer.shape.weights_per_filter)
            found.append(LayerCheck(layer.node_id, options, error, LIMIT * rounding, unit=UNIT))
        else:
            step = manifest.steps[place - layers]
            found.append(LayerCheck(step.node_id, None, error, LIMIT, step.type_name, UNIT))
    return tuple(found)
