"""The native toolchain: our own C for every layer, compiled by ``zig cc``.

One bundle holds all kernels that any of its plans uses; which of them a layer uses is said by the job.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ellopt.codegen import kernels
from ellopt.codegen.emit import Variant, emit_network, site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.network import ConvolutionStep, Network
from ellopt.codegen.weights import WeightFile
from ellopt.deadline import Deadline
from ellopt.errors import BuildError, CandidateError, InfrastructureError
from ellopt.measurement import LayerCheck, PlanSamples
from ellopt.model import reference
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.options import ELL_DEFAULT, ConvolutionOptions, Plan
from ellopt.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.targets import Target
from ellopt.toolchains.base import Bundle, Execution, Invocation, Job, JobResult
from ellopt.toolchains.native_bundle import LayerManifest, Manifest, StepManifest, digest_of
from ellopt.toolchains.native_job import Choice, JobText, Records, decode
from ellopt.toolchains.zig import Compiler, vector_registers, vector_width, zig_version

logger = logging.getLogger(__name__)

C_SOURCES = Path(__file__).parents[1] / "codegen" / "c"
RUNTIME = ("ellopt_pool.c", "ellopt_layers.c", "ellopt_network.c")
RUNNER = "runner"
_JOB, _RESULT = "job.txt", "result.bin"
#: largest error of a layer relative to its largest value; winograd's transforms lose some bits
_LIMIT, _WINOGRAD_LIMIT = 1e-4, 1e-3


class NativeToolchain:
    """See ``Toolchain``. ``parallel_build`` bounds the compilers at work (0: this machine's cores)."""

    name: str = "native"
    plans_per_bundle: int | None = None
    gemm_blockings: tuple[str, ...] = kernels.GEMM_BLOCKINGS

    def __init__(self, parallel_build: int = 0) -> None:
        self._parallel_build = parallel_build
        self._networks: WeakKeyDictionary[Model, Network] = WeakKeyDictionary()

    @property
    def version(self) -> str:
        """A hash over the generator's sources and the compiler's version."""
        return _version()

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
        return kernels.canonical(shape, options, vector_width(target), target.cores, vector_registers(target))

    def valid_plan(self, model: Model, plan: Plan, target: Target) -> Plan:
        """``plan`` in canonical form. Options that a layer cannot be computed by become ELL's default, as in ELL."""
        chosen: dict[str, ConvolutionOptions] = {}
        for layer in self.layers(model):
            best = self.canonical(layer.shape, plan[layer.node_id], target)
            if best is None:
                logger.warning("layer %s (%s): %s does not apply", layer.node_id, layer.shape, plan[layer.node_id])
                best = self.canonical(layer.shape, ELL_DEFAULT, target) or ELL_DEFAULT
            chosen[layer.node_id] = best
        return Plan.of(chosen)

    def build(self, model: Model, plans: Sequence[Plan], target: Target, directory: Path, deadline: Deadline) -> Bundle:
        network = self._network(model)
        wanted = self._wanted(network, plans, target)
        path = directory / f"native-{target.name}-{_key(model, network, wanted, target)}"
        if (manifest := Manifest.read(path)) is not None:
            return manifest.bundle(path)
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".build-", ignore_cleanup_errors=True) as name:
            manifest = self._build(model, network, wanted, target, Path(name), directory / "objects", deadline)
            _move(Path(name), path)
        return manifest.bundle(path)

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        text = self.job_text(_manifest(bundle), job).encode()
        return Invocation((f"./{RUNNER}", _JOB, _RESULT), {_JOB: text}, (_RESULT,))

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        manifest = _manifest(bundle)
        records = read_records(execution, self.job_text(manifest, job), len(manifest.steps))
        if job.kind == "check":
            return JobResult(checks=_checks(manifest, job, records), seconds=records.seconds)
        return JobResult(samples=_samples(manifest, job, records), seconds=records.seconds)

    def invoke_predict(self, bundle: Bundle, plan: Plan, values: npt.ArrayLike, threads: int = 0) -> Invocation:
        """How ``plan`` computes the model's output for one input, rows x columns x channels."""
        text = _predict_text(_manifest(bundle), plan, threads or bundle.target.cores)
        data = np.ascontiguousarray(values, "<f4").tobytes()
        return Invocation((f"./{RUNNER}", _JOB, _RESULT), {_JOB: text.encode(), "input.bin": data}, (_RESULT,))

    def read_prediction(self, bundle: Bundle, plan: Plan, execution: Execution, threads: int = 0) -> FloatArray:
        """The output that the runner left, rows x columns x channels. Raises as ``read``."""
        manifest = _manifest(bundle)
        text = _predict_text(manifest, plan, threads or bundle.target.cores)
        records = read_records(execution, text, len(manifest.steps))
        return records.words.reshape(-1).astype("<u4").view("<f4").astype(np.float32).reshape(manifest.output_shape)

    def invoke_bench(
        self, bundle: Bundle, plan: Plan, threads: int, warm_up: int, passes: int
    ) -> tuple[JobText, Invocation]:
        """How whole passes of one plan are timed, one after the other."""
        row = _choices(_manifest(bundle), plan)
        text = JobText("bench", threads or bundle.target.cores, [row], warm_up, 1, 0, passes)
        return text, Invocation((f"./{RUNNER}", _JOB, _RESULT), {_JOB: text.encode()}, (_RESULT,))

    def read_bench(self, bundle: Bundle, text: JobText, execution: Execution) -> Records:
        """What such a run left: a record (plan, round, nanoseconds) for each pass. Raises as ``read``."""
        return read_records(execution, text, len(_manifest(bundle).steps))

    def job_text(self, manifest: Manifest, job: Job) -> JobText:
        """The job as the runner is told it. Raises ValueError if the bundle cannot run one of its plans."""
        threads = job.threads or manifest.bundle(Path()).target.cores
        return JobText(
            job.kind,
            threads,
            [_choices(manifest, plan) for plan in job.plans],
            job.warm_up,
            job.rounds,
            job.turn_warm_up,
            job.turn_passes,
            job.limit_seconds,
            job.slow_factor,
        )

    def _network(self, model: Model) -> Network:
        network = self._networks.get(model)
        if network is None:
            network = self._networks[model] = lower(model)
        return network

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

    def _build(
        self,
        model: Model,
        network: Network,
        wanted: Mapping[str, frozenset[ConvolutionOptions]],
        target: Target,
        directory: Path,
        cache: Path,
        deadline: Deadline,
    ) -> Manifest:
        width = vector_width(target)
        layers: list[LayerManifest] = []
        variants: list[list[Variant]] = []
        for step in network.convolutions:
            site = site_of(network, step, width, target.cores, vector_registers(target))
            row = self._variants(step, site, wanted[step.reported_id], target)
            variants.append(list(row.values()))
            layers.append(LayerManifest(step.reported_id, step.shape, site, tuple(row), wanted[step.reported_id]))
        with (directory / "weights.bin").open("wb") as stream:
            table = emit_network(network, variants, WeightFile(stream))
        sources = {name: (C_SOURCES / name).read_text(encoding="utf-8") for name in (*RUNTIME, "runner.c")}
        sources["network.c"] = table
        sources |= {v.function: v.kernel.source(v.function) for row in variants for v in row}
        compiler = Compiler(target, C_SOURCES, cache, self._parallel_build)
        objects = compiler.objects(sources, deadline)
        compiler.link(objects.values(), directory / RUNNER, deadline)
        _write_check(model, network, directory)
        files = (RUNNER, "weights.bin", "check_input.bin", "reference.bin")
        source, result = network.tensors[network.input_name], network.tensors[network.output_name]
        order = [step.reported_id for step in network.convolutions]
        manifest = Manifest(
            digest=digest_of(directory, files),
            files=files,
            target=target.name,
            code_bytes=(directory / RUNNER).stat().st_size,
            layers=tuple(layers),
            steps=tuple(
                StepManifest(s.reported_id, s.type_name, order.index(s.reported_id) if s.kind == "convolution" else -1)
                for s in network.steps
            ),
            order=tuple(node.node_id for node in model.convolutions),
            input_shape=(source.rows, source.columns, source.channels),
            output_shape=(result.rows, result.columns, result.channels),
        )
        manifest.write(directory)
        return manifest

    def _variants(
        self, step: ConvolutionStep, site: kernels.KernelSite, wanted: Iterable[ConvolutionOptions], target: Target
    ) -> dict[str, Variant]:
        """The kernels that the wanted options need, by identity."""
        best = {self.canonical(step.shape, options, target) for options in wanted}
        found = (Variant(kernels.kernel_for(site, options)) for options in sorted(o for o in best if o is not None))
        return {variant.identity: variant for variant in found}


@lru_cache(maxsize=1)
def _version() -> str:
    digest = hashlib.sha256(zig_version().encode())
    package = Path(__file__).parents[1]
    for path in sorted(
        [*(package / "codegen").glob("*.py"), *C_SOURCES.iterdir(), *Path(__file__).parent.glob("*.py")]
    ):
        if path.suffix in (".py", ".c", ".h"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _key(model: Model, network: Network, wanted: Mapping[str, frozenset[ConvolutionOptions]], target: Target) -> str:
    """A hash over all that decides what a bundle holds."""
    digest = hashlib.sha256()
    for text in (_version(), repr(target), str(vector_width(target)), *(n.node_id + n.type_name for n in model.nodes)):
        digest.update(text.encode() + b"\0")
    for step in network.steps:
        for name, value in vars(step).items():
            digest.update(f"{name}=".encode())
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    for name, tensor in network.tensors.items():
        digest.update(f"{name} {tensor!r}".encode())
    for values in network.constants.values():
        digest.update(values.tobytes())
    for node_id, options in sorted(wanted.items()):
        digest.update(f"{node_id} {sorted(map(str, options))}".encode())
    return digest.hexdigest()[:24]


def _move(source: Path, target: Path) -> None:
    """Let a finished bundle appear under its name at once. Another that was faster is as good; what is left of a
    damaged one goes."""
    try:
        os.replace(source, target)
    except OSError:
        if Manifest.read(target) is None:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-", ignore_cleanup_errors=True) as aside:
                os.replace(target, Path(aside) / "damaged")
                os.replace(source, target)


def check_input(size: tuple[int, int, int]) -> FloatArray:
    """The input that bundles are checked with: always the same pseudo-random values between -1 and 1."""
    return np.random.default_rng(20240229).uniform(-1, 1, size).astype(np.float32)


def _write_check(model: Model, network: Network, directory: Path) -> None:
    """The input that every plan is checked with, and what each convolution step must make of it."""
    source = network.tensors[network.input_name]
    values = check_input((source.rows, source.columns, source.channels))
    (directory / "check_input.bin").write_bytes(values.astype("<f4").tobytes())
    expected = reference.run(model, values)
    with (directory / "reference.bin").open("wb") as stream:
        for step in network.convolutions:
            stream.write(np.ascontiguousarray(expected[step.result_id], "<f4").tobytes())


@lru_cache(maxsize=64)
def _read_manifest(path: Path, digest: str) -> Manifest | None:
    manifest = Manifest.read(path)
    return manifest if manifest is not None and manifest.digest == digest else None


def _manifest(bundle: Bundle) -> Manifest:
    manifest = _read_manifest(bundle.path, bundle.digest)
    if manifest is None:
        raise ValueError(f"{bundle.path} is no native bundle any more")
    return manifest


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
    if _RESULT not in execution.outputs:
        raise InfrastructureError("the runner left no result file")
    return decode(execution.outputs[_RESULT], job, steps)


def _samples(manifest: Manifest, job: Job, records: Records) -> tuple[PlanSamples, ...]:
    words = records.words
    result: list[PlanSamples] = []
    for i, plan in enumerate(job.plans):
        mine = words[words[:, 0] == i] if words.size else words
        rounds, total = (tuple(mine[:, 1].tolist()), mine[:, 2] / 1e6) if mine.size else ((), np.zeros(0))
        layers: dict[str, tuple[float, ...]] = {}
        nodes: dict[str, tuple[float, ...]] = {}
        if job.kind == "profile" and mine.size:
            sums: dict[tuple[bool, str], np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
            for column, step in enumerate(manifest.steps):
                key = (step.layer >= 0, step.node_id)
                sums[key] = sums.get(key, np.zeros(len(mine))) + mine[:, 3 + column] / 1e6
            layers = {node: tuple(sums[True, node].tolist()) for node in manifest.order}
            nodes = {node: tuple(v.tolist()) for (is_layer, node), v in sums.items() if not is_layer}
        result.append(PlanSamples(plan, tuple(total.tolist()), layers, nodes, rounds))
    return tuple(result)


def _checks(manifest: Manifest, job: Job, records: Records) -> tuple[LayerCheck, ...]:
    found: list[LayerCheck] = []
    errors = records.words[:, 2].view(np.float64) if records.words.size else np.zeros(0)
    if len(errors) != len(job.plans) * len(manifest.layers):
        raise InfrastructureError("the result lacks checks")
    for (plan_index, layer_index), error in zip(records.words[:, :2].tolist(), errors.tolist(), strict=True):
        node_id = manifest.layers[layer_index].node_id
        options = job.plans[plan_index][node_id]
        limit = _WINOGRAD_LIMIT if options.method == "winograd" else _LIMIT
        found.append(LayerCheck(node_id, options, error, limit))
    return tuple(found)
