"""The native toolchain: our own C for every layer, compiled by ``zig cc``.

One bundle holds all kernels that any of its plans uses; which of them a layer uses is said by the job.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ellopt.codegen.bands import takes_turns
from ellopt.codegen.convolution import base
from ellopt.codegen.convolution.gemm.method import GEMM_BLOCKINGS
from ellopt.codegen.emit import Packed
from ellopt.codegen.lower import lower
from ellopt.codegen.network import Network
from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, ConfigurationError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.settings import OwnGroups
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.targets import Target, find_target
from ellopt.toolchains.base import Ahead, kept_back
from ellopt.toolchains.native.build import RUNNER, BuildRequest, build_bundle, generator_version
from ellopt.toolchains.native.bundle import Manifest
from ellopt.toolchains.native.job import Choice, JobText, Records
from ellopt.toolchains.native.results import RESULT, read_checks, read_records, read_samples
from ellopt.toolchains.settings import BuildSettings
from ellopt.toolchains.settling import settling_passes
from ellopt.toolchains.zig import cpu_of

logger = logging.getLogger(__name__)

_JOB = "job.txt"


class NativeToolchain:
    """See ``Toolchain``. ``parallel_build`` bounds the compilers at work (0: this machine's cores)."""

    name: str = "native"
    plans_per_bundle: int | None = None
    checks_in_turns: bool = True
    gives_outputs: bool = True
    own_options: bool = True
    packs_weights: bool = True
    gemm_blockings: tuple[str, ...] = GEMM_BLOCKINGS

    def __init__(self, parallel_build: int = 0) -> None:
        self._parallel_build = parallel_build
        self._networks: WeakKeyDictionary[Model, dict[bool, Network]] = WeakKeyDictionary()
        self._packed: WeakKeyDictionary[Model, Packed] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[object, ...]:
        return NativeToolchain, (self._parallel_build,)  # what it has lowered stays behind

    @property
    def version(self) -> str:
        """A hash over the generator's sources and the compiler's version."""
        return generator_version()

    def prepare(self, model: Model) -> Model:
        """The model itself: reading writes a predictor node out already. Raises ModelFormatError."""
        self._network(model)
        return model

    def layers(self, model: Model) -> tuple[ConvolutionLayer, ...]:
        steps = {step.reported_id: step for step in self._network(model).convolutions}
        found = (steps[node.node_id] for node in model.convolutions)
        return tuple(ConvolutionLayer(step.reported_id, step.name, step.shape) for step in found)

    def fused_into(self, model: Model) -> Mapping[str, str]:
        return {
            node_id: step.reported_id
            for step in self._network(model).steps
            for node_id in step.node_ids
            if node_id != step.reported_id
        }

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, target: Target
    ) -> ConvolutionOptions | None:
        return base.canonical(shape, options, cpu_of(target), target.cores)

    def valid_plan(self, model: Model, plan: Plan, target: Target) -> Plan:
        """``plan`` in canonical form. Options that a layer cannot be computed by become ELL's default, as in ELL; only
        their precision does, where that is all that ``target`` has not."""
        chosen: dict[str, ConvolutionOptions] = {}
        for layer in self.layers(model):
            best = self.canonical(layer.shape, plan[layer.node_id], target)
            if best is None:
                asked = plan[layer.node_id]
                found = (self.canonical(layer.shape, o, target) for o in (replace(asked, precision=""), ELL_DEFAULT))
                best = next(filter(None, found), ELL_DEFAULT)
                logger.warning("layer %s (%s): %s does not apply, %s does", layer.node_id, layer.shape, asked, best)
            chosen[layer.node_id] = best
        return Plan.of(chosen)

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        if target.is_host and sys.platform == "win32":
            raise ConfigurationError(
                "--target host: the native toolchain's programs run on Linux and macOS; on Windows, give a board"
            )
        network = self._network(model, takes_turns(cpu_of(target), target.cores))
        wanted = self._wanted(network, plans, target)
        packed = self._packed.setdefault(model, Packed())
        request = BuildRequest(model, network, wanted, target, self._parallel_build, packed)
        path, manifest = build_bundle(request, directory, deadline, ahead)
        return manifest.bundle(path)

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        text = self.job_text(_manifest(bundle), job).encode()
        inputs = {_JOB: text}
        if job.kind == "outputs":
            inputs["input.bin"] = np.ascontiguousarray(_inputs(job), "<f4").tobytes()
        return Invocation((f"./{RUNNER}", _JOB, RESULT), inputs, (RESULT,))

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        manifest = _manifest(bundle)
        records = read_records(execution, self.job_text(manifest, job), len(manifest.steps))
        if job.kind == "outputs":
            values = records.words.reshape(len(job.plans), len(_inputs(job)), -1).astype("<u4").view("<f4")
            return JobResult(seconds=records.seconds, outputs=values.astype(np.float32))
        if job.kind == "check":
            return JobResult(checks=read_checks(manifest, job, records), seconds=records.seconds)
        checks = read_checks(manifest, job, records) if job.unchecked else ()
        return JobResult(read_samples(manifest, job, records), checks, records.seconds)

    def invoke_predict(self, bundle: Bundle, plan: Plan, values: npt.ArrayLike, threads: int = 0) -> Invocation:
        """How ``plan`` computes the model's output for one input, rows x columns x channels."""
        text = _predict_text(_manifest(bundle), plan, threads or bundle.target.cores)
        data = np.ascontiguousarray(values, "<f4").tobytes()
        return Invocation((f"./{RUNNER}", _JOB, RESULT), {_JOB: text.encode(), "input.bin": data}, (RESULT,))

    def read_prediction(self, bundle: Bundle, plan: Plan, execution: Execution, threads: int = 0) -> FloatArray:
        """The output that the runner left, rows x columns x channels. Raises as ``read``."""
        manifest = _manifest(bundle)
        text = _predict_text(manifest, plan, threads or bundle.target.cores)
        records = read_records(execution, text, len(manifest.steps))
        return records.words.reshape(-1).astype("<u4").view("<f4").astype(np.float32).reshape(manifest.output_shape)

    def invoke_bench(
        self, bundle: Bundle, plan: Plan, threads: int, passes: int, interval_ms: float = 0.0
    ) -> tuple[JobText, Invocation]:
        """How whole passes of one plan are timed from the first one on, one after the other, or ``interval_ms`` from
        start to start."""
        row = _choices(_manifest(bundle), plan)
        text = JobText(
            "bench", threads or bundle.target.cores, [row], turn_passes=passes, interval_us=round(1000 * interval_ms)
        )
        return text, Invocation((f"./{RUNNER}", _JOB, RESULT), {_JOB: text.encode()}, (RESULT,))

    def read_bench(self, bundle: Bundle, text: JobText, execution: Execution) -> Records:
        """What such a run left: a record (plan, round, nanoseconds) for each pass. Raises as ``read``."""
        return read_records(execution, text, len(_manifest(bundle).steps))

    def job_text(self, manifest: Manifest, job: Job) -> JobText:
        """The job as the runner is told it. Raises ValueError if the bundle cannot run one of its plans."""
        threads = job.threads or manifest.bundle(Path()).target.cores
        return JobText(
            "predict" if job.kind == "outputs" else job.kind,
            threads,
            [_choices(manifest, plan) for plan in job.plans],
            job.warm_up,
            job.rounds,
            job.turn_passes,
            job.limit_seconds,
            job.slow_factor,
            frozenset(i for i, plan in enumerate(job.plans) if plan in job.unchecked),
            _turn_warm_up(manifest, job),
        )

    def output_files(self, plan: Plan) -> Mapping[str, str]:
        return {}

    def parameters(self) -> Mapping[str, str]:
        return {}

    def _network(self, model: Model, banded: bool = False) -> Network:
        """``banded``: as ``lower`` has it; it changes where tensors lie, and no step."""
        known = self._networks.setdefault(model, {})
        if banded not in known:
            known[banded] = lower(model, banded)
        return known[banded]

    def _wanted(
        self, network: Network, plans: Sequence[Plan], target: Target
    ) -> dict[str, frozenset[ConvolutionOptions]]:
        """The options that each layer must be able to run with, as asked for and in canonical form."""
        wanted: dict[str, frozenset[ConvolutionOptions]] = {}
        for step in network.convolutions:
            asked = {plan[step.reported_id] for plan in plans}
            found = {options: self.canonical(step.shape, options, target) for options in asked}
            for options, best in found.items():
                if best is None:
                    raise BuildError(f"layer {step.reported_id} ({step.shape}) cannot be computed by {options}")
            wanted[step.reported_id] = frozenset(asked) | {best for best in found.values() if best is not None}
        return wanted


@lru_cache(maxsize=64)
def _read_manifest(path: Path, digest: str) -> Manifest | None:
    manifest = Manifest.read(path)
    return manifest if manifest is not None and manifest.digest == digest else None


def _manifest(bundle: Bundle) -> Manifest:
    manifest = _read_manifest(bundle.path, bundle.digest)
    if manifest is None:
        raise ValueError(f"{bundle.path} is no native bundle any more")
    return manifest


def _inputs(job: Job) -> FloatArray:
    if job.inputs is None or not len(job.inputs):
        raise ValueError("a job for outputs needs inputs")
    return job.inputs


def _turn_warm_up(manifest: Manifest, job: Job) -> tuple[int, ...]:
    if not job.settle:
        return (job.turn_warm_up,) * len(job.plans)
    shapes = {layer.node_id: layer.shape for layer in manifest.layers}
    settling = settling_passes(
        job.plans, shapes, cpu_of(find_target(manifest.target)).cache_mib, started=job.warm_up > 0
    )
    return tuple(max(job.turn_warm_up, passes) for passes in settling)


def _predict_text(manifest: Manifest, plan: Plan, threads: int) -> JobText:
    return JobText("predict", threads, [_choices(manifest, plan)])


def _choices(manifest: Manifest, plan: Plan) -> list[Choice]:
    row: list[Choice] = []
    for layer in manifest.layers:
        options = dict(plan.items_).get(layer.node_id)
        if options is None:
            raise ValueError(f"the plan says nothing of layer {layer.node_id}")
        choice = layer.choice(options)
        if choice is None:
            raise ValueError(f"the bundle cannot compute layer {layer.node_id} by {options}")
        row.append(choice)
    return row


def make(build: BuildSettings, own: OwnGroups, target: Target) -> NativeToolchain:
    """The toolchain as set."""
    return NativeToolchain(build.parallel_build)
