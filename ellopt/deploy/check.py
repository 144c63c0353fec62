"""Checks one plan of a model on the device that it is meant for: every step, then the whole model's output."""

from __future__ import annotations

from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ELL_DEFAULT
from ellopt.core.plan import Plan
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle
from ellopt.measure.whole_model import WholeCheck, WholeOutputs
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.targets import Target
from ellopt.toolchains.native.toolchain import NativeToolchain

_BUILD_SECONDS = 1800.0
_RUN_SECONDS = 600.0


def check_plan(
    toolchain: NativeToolchain,
    model: Model,
    plan: Plan,
    target: Target,
    device: Device,
    directory: Path,
    values: FloatArray | None = None,
    threads: int = 0,
) -> float:
    """Compare what ``plan`` computes on ``device`` with the reference: each step by itself, and the model's output for
    several inputs (``values`` is one more). The bundle is built in ``directory``.

    Returns how far off the model's output may be, in units of OUTPUT_LIMIT. Raises CandidateError, naming node and
    options, if something is wrong, and what a device raises.
    """
    default = toolchain.valid_plan(model, Plan.uniform(list(plan), ELL_DEFAULT), target)
    bundle = toolchain.build(model, [plan, default], target, directory, Deadline.after(_BUILD_SECONDS))

    def run(bundle: Bundle, job: Job) -> JobResult:
        execution = device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(_RUN_SECONDS))
        return toolchain.read(bundle, job, execution)

    wrong = [check for check in run(bundle, Job("check", (plan,), threads=threads)).checks if not check.passed]
    if wrong:
        nodes = "; ".join(f"node {c.node_id} ({c.options or c.type_name}): {c.reason}" for c in wrong)
        raise CandidateError(f"{model.path}: {nodes}")
    outputs = WholeOutputs(model, toolchain, () if values is None else (values,))
    whole = WholeCheck(lambda plans: outputs.errors(plans, lambda some: dict.fromkeys(some, bundle), run), default)
    if unsound := whole.unsound([plan]):
        raise CandidateError(
            f"{model.path}: every step is right, but the model's output is off by {unsound[plan]:.3g} times what is "
            "allowed: choose options that lose fewer bits, such as float32 or smaller winograd tiles"
        )
    return whole.allowed(plan)
