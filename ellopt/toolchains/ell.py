"""ELL's own compiler as a toolchain, for those who have it.

Each plan is compiled by itself. A bundle is one program with the code of several plans, in two forms each where LLVM's
tools are there, so that they can be measured in turns.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from ellopt.deadline import Deadline
from ellopt.errors import BuildError, CandidateError, ConfigurationError, InfrastructureError, ModelFormatError
from ellopt.measurement import LayerCheck, PlanSamples
from ellopt.model import reference
from ellopt.model.archive import write_archive
from ellopt.model.graph import Model
from ellopt.model.layers import Convolution, FloatArray, Softmax
from ellopt.options import ELL_DEFAULT_DEPTHS, ConvolutionOptions, Plan
from ellopt.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.targets import Target
from ellopt.toolchains.base import Bundle, Execution, Invocation, Job, JobResult
from ellopt.toolchains.ell_bundle import (
    REFERENCE,
    EllBundle,
    EllManifest,
    Worker,
    output_error,
    table_source,
)
from ellopt.toolchains.ell_compile import MODEL_FILE, PLAIN, Compiled, EllCompiler, commands_of, for_ell
from ellopt.toolchains.ell_object import is_elf, rename_symbols
from ellopt.toolchains.ell_tools import EllTools
from ellopt.toolchains.native_build import C_SOURCES
from ellopt.toolchains.native_bundle import digest_of
from ellopt.toolchains.native_job import Choice, JobText, Records
from ellopt.toolchains.native_results import read_records
from ellopt.toolchains.zig import Compiler, zig_version

logger = logging.getLogger(__name__)

RUNNER = "ell_runner"
_JOB, _RESULT = "job.txt", "result.bin"
#: largest error of the model's output relative to its largest value
OUTPUT_LIMIT = 1e-3
_TRY_SECONDS = 300.0
_SOURCES = ("ell_runner.c", "ell_worker.c.in", "ell_worker.h", "runner.h")


class EllToolchain:
    """See ``Toolchain``. ``parallel_build`` bounds the programs at work (0: this machine's cores).

    ``exercise``: code without profiling is compiled too, and gives the times of whole models.
    """

    name: str = "ell"

    def __init__(self, tools: EllTools, parallel_build: int = 0, exercise: bool = False) -> None:
        self._tools = tools
        self._parallel_build = parallel_build or os.cpu_count() or 1
        self._exercise = exercise
        self._compiler = EllCompiler(tools, use_blas=tools.blas is not None, parallel=self._parallel_build)
        # Elsewhere symbols cannot be told apart, see rename_symbols: one model a program.
        self._one_program = sys.platform not in ("darwin", "win32")
        self.plans_per_bundle: int | None = 8 if self._one_program else 1
        self._seen: WeakSet[Model] = WeakSet()
        self._hashes: WeakKeyDictionary[Model, str] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._chosen: dict[Plan, tuple[Path, dict[str, float]]] = {}
        if tools.blas is None:
            logger.warning("no OpenBLAS was found here: ELL's unrolled method is up to seven times slower without it")

    @cached_property
    def version(self) -> str:
        """A hash over ELL's programs, the compiler that links, and what is linked to it."""
        digest = hashlib.sha256(f"{self._tools.identity()} {zig_version()} {self._exercise}".encode())
        for path in [*(C_SOURCES / name for name in _SOURCES), *sorted(Path(__file__).parent.glob("ell*.py"))]:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()[:16]

    def prepare(self, model: Model) -> Model:
        """The model itself: reading writes a predictor node out already. ELL's print must see the same layers."""
        with self._lock:
            if model in self._seen:
                return model
        with tempfile.TemporaryDirectory(prefix="ellopt-ell-", ignore_cleanup_errors=True) as name:
            path = Path(name) / MODEL_FILE
            write_archive(for_ell(model.archive), path)
            try:
                ids = [node.node_id for node in model.convolutions]
                self._compiler.check_model(path, ids, Deadline.after(_TRY_SECONDS))
            except (BuildError, ConfigurationError) as error:
                raise ModelFormatError(f"{model.path}: {error}") from error
        with self._lock:
            self._seen.add(model)
        return model

    def layers(self, model: Model) -> tuple[ConvolutionLayer, ...]:
        return tuple(ConvolutionLayer(node.node_id, node.name, _shape(node)) for node in model.convolutions)

    def fused_into(self, model: Model) -> Mapping[str, str]:
        """Nothing: what ELL fuses it reports for one of the nodes, and the others take no time."""
        return {}

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, target: Target
    ) -> ConvolutionOptions | None:
        """ELL's winograd has tiles of 2. Its depths matter where it goes filter by filter: with at most 4 channels a
        filter, the separable one for depthwise layers, the other two elsewhere."""
        parallelize = options.parallelize and target.cores > 1
        if options.method != "winograd":
            return ConvolutionOptions(options.method, parallelize)
        if not shape.winograd_applies or options.winograd_tile_size != 2:
            return None
        depths = {name: getattr(options, name) or default for name, default in ELL_DEFAULT_DEPTHS.items()}
        separable, filters, channels = depths.values()
        if shape.depthwise:
            return ConvolutionOptions("winograd", parallelize, separable_block_depth=separable)
        if shape.channels > 4:
            return ConvolutionOptions("winograd", parallelize)
        return ConvolutionOptions(
            "winograd", parallelize, nonseparable_filter_block_depth=filters, nonseparable_channel_depth=channels
        )

    def build(self, model: Model, plans: Sequence[Plan], target: Target, directory: Path, deadline: Deadline) -> Bundle:
        plans = tuple(dict.fromkeys(plans))
        if self.plans_per_bundle is not None and len(plans) > self.plans_per_bundle:
            raise ValueError(f"a bundle holds at most {self.plans_per_bundle} plans, not {len(plans)}")
        if target.is_host and sys.platform == "win32":
            raise ConfigurationError("--toolchain ell measures on boards from Windows, not on Windows itself")
        path = directory / f"ell-{target.name}-{self._key(model, target, *plans)}"
        if (manifest := EllManifest.read(path)) is not None:
            return manifest.bundle(path)
        directory.mkdir(parents=True, exist_ok=True)
        compiled = self._compile_all(model, plans, target, directory, deadline)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".build-", ignore_cleanup_errors=True) as name:
            manifest = self._link(model, plans, compiled, target, Path(name), directory / "objects", deadline)
            try:
                os.replace(name, path)
            except OSError:
                if EllManifest.read(path) is None:
                    raise
        return manifest.bundle(path)

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        text, _ = self._job_text(_manifest(bundle), job)
        return Invocation((f"./{RUNNER}", _JOB, _RESULT), {_JOB: text.encode()}, (_RESULT,))

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        manifest = _manifest(bundle)
        text, rows = self._job_text(manifest, job)
        records = read_records(execution, text, len(manifest.slots))
        if job.kind == "check":
            expected: FloatArray = np.load(bundle.path / REFERENCE)
            return JobResult(checks=_checks(manifest, job, rows, records, expected), seconds=records.seconds)
        samples = self._samples(bundle, manifest, job, rows, records)
        return JobResult(samples=samples, seconds=records.seconds)

    def output_files(self, plan: Plan) -> Mapping[str, str]:
        """Further files for the output of a model that is computed by ``plan``: how ELL's tools were called for it,
        and which form of the code was faster when it was measured last."""
        with self._lock:
            if plan not in self._chosen:
                return {}
            directory, medians = self._chosen[plan]
        best = min(medians, key=lambda form: medians[form])
        words = {"plain": "ELL's compile alone", "opt": "passed through LLVM's opt and llc"}
        lines = [f"# fastest: {words[best]}"]
        lines += [f"# {words[form]}: {ms:.5f} ms" for form, ms in sorted(medians.items(), key=lambda item: item[1])]
        return {"ell_commands.txt": "\n".join(lines) + "\n" + commands_of(directory)}

    def _key(self, model: Model, target: Target, *parts: object) -> str:
        with self._lock:
            if model not in self._hashes:
                with tempfile.TemporaryDirectory(prefix="ellopt-ell-") as name:
                    write_archive(for_ell(model.archive), Path(name) / MODEL_FILE)
                    self._hashes[model] = hashlib.sha256((Path(name) / MODEL_FILE).read_bytes()).hexdigest()
            facts = [self.version, self._hashes[model], repr(target), *map(repr, parts)]
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]

    def _compile_all(
        self, model: Model, plans: Sequence[Plan], target: Target, directory: Path, deadline: Deadline
    ) -> list[tuple[Compiled, ...]]:
        source = directory / f"model-{self._key(model, target)}" / MODEL_FILE
        if not source.is_file():
            write_archive(for_ell(model.archive), source)

        def compile_plan(plan: Plan) -> tuple[Compiled, ...]:
            found: tuple[Compiled, ...] = ()
            for profiled in (True, False) if self._exercise else (True,):
                where = directory / "plans" / self._key(model, target, plan, profiled)
                found += self._compiler.compile(source, plan, target, profiled, where, deadline)
            return found if self._one_program else found[:1]

        with ThreadPoolExecutor(min(self._parallel_build, len(plans)), thread_name_prefix="ell") as pool:
            futures = [pool.submit(compile_plan, plan) for plan in plans]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _link(
        self,
        model: Model,
        plans: tuple[Plan, ...],
        compiled: Sequence[tuple[Compiled, ...]],
        target: Target,
        directory: Path,
        cache: Path,
        deadline: Deadline,
    ) -> EllManifest:
        slots = tuple(node.node_id for node in model.nodes)
        forms = [(number, form) for number, row in enumerate(compiled) for form in row]
        workers = tuple(Worker(number, form.form, form.profiled) for number, form in forms)
        sources = {"runner": (C_SOURCES / "ell_runner.c").read_text(encoding="utf-8")}
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix=".objects-") as name:
            objects = []
            for index, (_, form) in enumerate(forms):
                worker, prefix = f"ell_worker_{index}", f"w{index}_" if self._one_program else ""
                objects.append(Path(name) / f"{worker}.o")
                defined = _rename(form.object, prefix, objects[-1])
                sources[worker] = _worker_source(form, worker, prefix, defined)
            sources["table"] = table_source([f"ell_worker_{index}" for index in range(len(forms))], slots)
            compiler = Compiler(target, C_SOURCES, cache, self._parallel_build)
            objects += compiler.objects(sources, deadline).values()
            compiler.link(objects, directory / RUNNER, deadline, self._link_flags(target))
        inputs, outputs = _check_data(model)
        (directory / "check_input.bin").write_bytes(inputs.astype("<f4").tobytes())
        np.save(directory / REFERENCE, outputs)
        files = (RUNNER, "check_input.bin")
        manifest = EllManifest(
            digest=digest_of(directory, files),
            files=files,
            target=target.name,
            code_bytes=(directory / RUNNER).stat().st_size,
            plans=plans,
            workers=workers,
            slots=slots,
            layers=tuple(node.node_id for node in model.convolutions),
            log_outputs=_ends_in_softmax(model),
            blas=self._compiler.blas(target),
        )
        manifest.write(directory)
        with self._lock:
            for plan, row in zip(plans, compiled, strict=True):
                self._chosen.setdefault(plan, (row[0].object.parent, {form.form: float("inf") for form in row}))
        return manifest

    def _link_flags(self, target: Target) -> tuple[str, ...]:
        flags: tuple[str, ...] = ("-no-pie",) if target.is_host and sys.platform == "linux" else ()
        if self._compiler.blas(target) and self._tools.blas is not None:
            flags += (str(self._tools.blas), f"-Wl,-rpath,{self._tools.blas.parent}")
        return flags

    def _job_text(self, manifest: EllManifest, job: Job) -> tuple[JobText, list[tuple[int, str, bool]]]:
        """The job as the runner is told it, and what its rows are: plan's number in the job, form, profiled or not."""
        exercised = any(not worker.profiled for worker in manifest.workers)
        kinds = {"check": (True, False), "profile": (True, False), "bench": (False,)}[job.kind]
        rows: list[tuple[int, str, bool]] = []
        choices: list[list[Choice]] = []
        for number, plan in enumerate(job.plans):
            for profiled in kinds if exercised else (True,):
                for form, index in manifest.workers_of(plan, profiled).items():
                    rows.append((number, form, profiled))
                    choices.append([Choice(index, False, (0, 0, 0))])
        return (
            JobText(
                job.kind,
                job.threads or find_cores(manifest),
                choices,
                job.warm_up,
                job.rounds,
                job.turn_warm_up,
                job.turn_passes,
                job.limit_seconds,
                job.slow_factor,
            ),
            rows,
        )

    def _samples(
        self,
        bundle: Bundle,
        manifest: EllManifest,
        job: Job,
        rows: Sequence[tuple[int, str, bool]],
        records: Records,
    ) -> tuple[PlanSamples, ...]:
        words = records.words
        passes = {row: words[words[:, 0] == i] if words.size else words for i, row in enumerate(rows)}
        whole = not any(not profiled for _, _, profiled in rows)  # whole passes are those with profiling

        def totals(number: int, form: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            mine = passes[number, form, whole]
            result: np.ndarray[tuple[int], np.dtype[np.float64]] = mine[:, 2] / 1e6 if mine.size else np.zeros(0)
            return result

        medians = [
            {
                form: float(np.median(t))
                for n, form, p in rows
                if n == number and p == whole and (t := totals(n, form)).size
            }
            for number in range(len(job.plans))
        ]
        best = _best_forms(medians, one_for_all=job.kind == "profile")
        result = []
        for number, plan in enumerate(job.plans):
            form = best[number]
            total = totals(number, form)
            timed = passes.get((number, form, True))
            layers: dict[str, tuple[float, ...]] = {}
            nodes: dict[str, tuple[float, ...]] = {}
            count = len(total)
            if job.kind == "profile" and timed is not None and timed.size:
                count = min(count, len(timed))
                by_node = {node_id: timed[:count, 3 + i] / 1e6 for i, node_id in enumerate(manifest.slots)}
                silent = [node_id for node_id in manifest.layers if count and not by_node[node_id].any()]
                if silent:
                    raise CandidateError(f"ELL's profile has no time for layer {', '.join(silent)}")
                layers = {node_id: tuple(by_node.pop(node_id).tolist()) for node_id in manifest.layers}
                nodes = {node_id: tuple(values.tolist()) for node_id, values in by_node.items() if values.any()}
            rounds = passes[number, form, whole][:count, 1].tolist() if count else []
            result.append(PlanSamples(plan, tuple(total[:count].tolist()), layers, nodes, tuple(rounds)))
            if medians[number]:
                with self._lock:
                    where = self._chosen.get(plan, (bundle.path, {}))[0]
                    self._chosen[plan] = (where, medians[number])
        return tuple(result)


def _best_forms(medians: Sequence[Mapping[str, float]], one_for_all: bool) -> list[str]:
    """The faster form of each plan's code; with ``one_for_all`` that which is faster over all plans that have it, so
    that layers of one visit can be compared."""
    if one_for_all:
        common = set.intersection(*(set(forms) for forms in medians)) if medians else set()
        if common:
            best = min(sorted(common), key=lambda form: sum(forms[form] for forms in medians))
            return [best] * len(medians)
    return [min(forms, key=lambda form: forms[form]) if forms else PLAIN for forms in medians]


def find_cores(manifest: EllManifest) -> int:
    """Threads that the code was compiled for."""
    return manifest.bundle(Path()).target.cores


def _manifest(bundle: Bundle) -> EllManifest:
    manifest = EllManifest.read(bundle.path)
    if not isinstance(bundle, EllBundle) or manifest is None or manifest.digest != bundle.digest:
        raise ValueError(f"{bundle.path} is no bundle of the ell toolchain any more")
    return manifest


def _shape(node: Convolution) -> ConvolutionShape:
    layout = node.input_layouts[0]
    rows, columns, filters = node.output_layout.size
    return ConvolutionShape(
        rows=layout.size[0],
        columns=layout.size[1],
        channels=layout.size[2],
        filters=filters,
        receptive_field=node.receptive_field,
        stride=node.stride,
        padding=layout.offset[0],
        depthwise=node.depthwise,
        output_rows=rows,
        output_columns=columns,
    )


def _rename(source: Path, prefix: str, target: Path) -> tuple[str, ...]:
    """Copy an object with ``prefix`` before what it defines; returns the old names."""
    data = source.read_bytes()
    names: tuple[str, ...] = ()
    if prefix:
        if not is_elf(data):
            raise BuildError(f"{source} is no ELF object: ELL's compile wrote it for another system")
        data, names = rename_symbols(data, prefix)
    target.write_bytes(data)
    return names


def _worker_source(form: Compiled, worker: str, prefix: str, defined: Sequence[str]) -> str:
    """The C text between one compiled model and the runner."""
    facts = {
        "VALUE": form.header.value,
        "INDEX": "0" if form.header.indexed else "",
        "CONTEXT": "(void *)0, " if form.header.context else "",
        "PROFILED": str(int(form.profiled)),
        "WORKER": worker,
    }
    template = (C_SOURCES / "ell_worker.c.in").read_text(encoding="utf-8")
    names = [name for name in defined if re.fullmatch(r"ELL_\w+", name)]
    lines = [f"#define {name} {prefix}{name}" for name in names]
    return "\n".join([*lines, form.header.text, re.sub(r"@(\w+)@", lambda match: facts[match[1]], template)])


def _ends_in_softmax(model: Model) -> bool:
    return isinstance(model.by_id[model.output.inputs[0]], Softmax)


def _check_data(model: Model) -> tuple[FloatArray, FloatArray]:
    """Inputs that every plan is checked with, and what the model must make of them: [input, element]."""
    size = model.input.output_layout.size
    inputs = np.random.default_rng(20240229).uniform(-1, 1, (2, *size)).astype(np.float32)
    outputs = np.stack([reference.predict(model, values) for values in inputs])
    return inputs.reshape(2, -1), outputs


def _checks(
    manifest: EllManifest,
    job: Job,
    rows: Sequence[tuple[int, str, bool]],
    records: Records,
    expected: FloatArray,
) -> tuple[LayerCheck, ...]:
    """Only the model's output can be seen: it is right or wrong for all layers of a plan together."""
    words = records.words
    if len(words) != len(rows) * len(expected) or (words.size and words.shape[1] != 2 + expected.shape[1]):
        size = words.shape[1] - 2 if words.size else 0
        raise InfrastructureError(f"the result has {size} output values, the model has {expected.shape[1]}")
    errors = [0.0] * len(job.plans)
    values = words[:, 2:].astype("<u4").view("<f4").reshape(len(rows), len(expected), -1)
    for (number, form, _), outputs in zip(rows, values, strict=True):
        error = output_error(outputs, expected, manifest.log_outputs)
        if error > OUTPUT_LIMIT:
            raise CandidateError(
                f"wrong output: off by {error:.3g} of the largest value, {OUTPUT_LIMIT:g} is allowed ({form} code)"
            )
        errors[number] = max(errors[number], error)
    return tuple(
        LayerCheck(node_id, options, error, OUTPUT_LIMIT)
        for plan, error in zip(job.plans, errors, strict=True)
        for node_id, options in plan.items()
    )
