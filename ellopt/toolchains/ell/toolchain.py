"""ELL's own compiler as a toolchain, for those who have it.

Each plan is compiled by itself. A bundle is one program with the code of several plans, in two forms each where LLVM's
tools are there, so that they can be measured in turns.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from ellopt.codegen.version import GENERATOR_VERSION
from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, ConfigurationError, ModelFormatError
from ellopt.core.fan_out import fan_out
from ellopt.core.job import Job, JobResult
from ellopt.core.methods import find_method
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.settings import OwnGroups
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.files.sealed import is_whole, publish
from ellopt.frontends.ell.archive import Archive, write_archive
from ellopt.model.graph import Model
from ellopt.model.layers import Convolution, FloatArray
from ellopt.targets import Target
from ellopt.toolchains.base import Ahead, kept_back
from ellopt.toolchains.ell.bundle import REFERENCE, EllBundle, EllManifest
from ellopt.toolchains.ell.compile import MODEL_FILE, Compiled, EllCompiler, commands_of, for_ell
from ellopt.toolchains.ell.job import checks, job_rows, timings
from ellopt.toolchains.ell.link import RUNNER, Linker
from ellopt.toolchains.ell.settings import EllSettings
from ellopt.toolchains.ell.tools import EllTools, find_tools
from ellopt.toolchains.native.results import read_records
from ellopt.toolchains.object_cache import object_cache
from ellopt.toolchains.settings import BuildSettings
from ellopt.toolchains.zig import zig_version

logger = logging.getLogger(__name__)

_JOB, _RESULT = "job.txt", "result.bin"
_TRY_SECONDS = 300.0


class EllToolchain:
    """See ``Toolchain``. ``parallel_build`` bounds the programs at work (0: this machine's cores).

    ``one_program``: models can be linked together, which takes objects in ELF; else a bundle holds one plan, in the
    plain form. ``settings``: what the programs are told beside a plan, and whether code without profiling is compiled
    too, for the times of whole models.
    """

    name: str = "ell"
    checks_in_turns: bool = False
    gives_outputs: bool = False
    own_options: bool = False
    packs_weights: bool = False
    gemm_blockings: tuple[str, ...] = ("",)

    def __init__(
        self,
        tools: EllTools,
        parallel_build: int = 0,
        one_program: bool = True,
        settings: EllSettings | None = None,
    ) -> None:
        self.settings = settings or EllSettings()
        self._tools = tools
        self._parallel_build = parallel_build or os.cpu_count() or 1
        self._compiler = EllCompiler(
            tools, use_blas=tools.blas is not None, parallel=self._parallel_build, settings=self.settings
        )
        self._one_program = one_program
        self.plans_per_bundle: int | None = 8 if self._one_program else 1
        self._seen: WeakSet[Model] = WeakSet()
        self._hashes: WeakKeyDictionary[Model, str] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._directories: dict[Plan, Path] = {}  # where a plan was compiled
        self._medians: dict[Plan, Mapping[str, float]] = {}  # by form of the code, of the last measurement
        self._warned: set[str] = set()

    @cached_property
    def version(self) -> str:
        """A hash over ELL's programs, the compiler that links, and the generator's version."""
        made_by = f"{GENERATOR_VERSION} {zig_version()} {self._tools.identity()}"
        told = f"{self.settings.include_exercise_models} {self.settings.code}"
        digest = hashlib.sha256(f"{made_by} {told}".encode())
        return digest.hexdigest()[:16]

    def prepare(self, model: Model) -> Model:
        """The model itself: reading writes a predictor node out already. ELL's print must see the same layers."""
        with self._lock:
            if model in self._seen:
                return model
        archive = _archive(model)
        if model.inputs:
            what = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
            raise ModelFormatError(
                f"{model.path}: --toolchain ell: the model has {what}; only one of each is supported there: use "
                "--toolchain native"
            )
        with tempfile.TemporaryDirectory(prefix="ellopt-ell-", ignore_cleanup_errors=True) as name:
            path = Path(name) / MODEL_FILE
            write_archive(for_ell(archive), path)
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
        if options.precision:
            return None
        options = options.with_parallelize(options.parallelize and target.cores > 1)
        return find_method(options.method).ell_canonical(shape, options)

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        plans = tuple(dict.fromkeys(plans))
        if self.plans_per_bundle is not None and len(plans) > self.plans_per_bundle:
            raise ValueError(f"a bundle holds at most {self.plans_per_bundle} plans, not {len(plans)}")
        if target.is_host and sys.platform == "win32":
            raise ConfigurationError("--toolchain ell measures on boards from Windows, not on Windows itself")
        path = directory / f"ell-{target.name}-{self._key(model, target, *plans)}"
        keys = [self._key(model, target, plan, True) for plan in plans]
        with self._lock:
            self._directories |= {plan: directory / "plans" / key for plan, key in zip(plans, keys, strict=True)}
        if is_whole(path) and (manifest := EllManifest.read(path)) is not None:
            return manifest.bundle(path)
        directory.mkdir(parents=True, exist_ok=True)
        self._warn_without_blas(target)
        compiled = self._compile_all(model, plans, target, directory, deadline)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".build-", ignore_cleanup_errors=True) as name:
            blas = self._tools.blas if self._compiler.blas(target) else None
            linker = Linker(target, object_cache(directory / "objects"), self._parallel_build, self._one_program, blas)
            weights = {plan: _weight_bytes(model, plan) for plan in plans}
            made = Path(name) / "bundle"
            made.mkdir()  # as the umask has it: the temporary directory is nobody's but ours
            manifest = linker.link(model, weights, compiled, made, deadline)
            publish(made, path)
        return manifest.bundle(path)

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        text, _ = job_rows(_manifest(bundle), job)
        return Invocation((f"./{RUNNER}", _JOB, _RESULT), {_JOB: text.encode()}, (_RESULT,))

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        manifest = _manifest(bundle)
        text, rows = job_rows(manifest, job)
        records = read_records(execution, text, len(manifest.slots))
        if job.kind == "check":
            expected: FloatArray = np.load(bundle.path / REFERENCE)
            return JobResult(checks=checks(manifest, job, rows, records, expected), seconds=records.seconds)
        found = timings(manifest, job, rows, records)
        with self._lock:
            self._medians |= {timing.samples.plan: timing.medians for timing in found if timing.medians}
        return JobResult(samples=tuple(timing.samples for timing in found), seconds=records.seconds)

    def output_files(self, plan: Plan) -> Mapping[str, str]:
        """Further files for the output of a model that is computed by ``plan``: how ELL's tools were called for it,
        and which form of the code was faster when it was measured last."""
        with self._lock:
            directory, medians = self._directories.get(plan), self._medians.get(plan)
        if directory is None or not medians:
            return {}
        best = min(medians, key=lambda form: medians[form])
        words = {"plain": "ELL's compile alone", "opt": "passed through LLVM's opt and llc"}
        lines = [f"# fastest: {words[best]}"]
        lines += [f"# {words[form]}: {ms:.5f} ms" for form, ms in sorted(medians.items(), key=lambda item: item[1])]
        return {"ell_commands.txt": "\n".join(lines) + "\n" + commands_of(directory)}

    def parameters(self) -> Mapping[str, str]:
        code = self.settings
        return {"ell_code": f"vectorize {code.vectorize}, fp-contract {code.fp_contract}"}

    def _warn_without_blas(self, target: Target) -> None:
        with self._lock:
            told = target.name in self._warned
            self._warned.add(target.name)
        if not told and not self._compiler.blas(target):
            where = "OpenBLAS was not found here" if target.is_host else "code for boards is linked without BLAS"
            logger.warning("%s: ELL's unrolled method is up to seven times slower than with it", where)

    def _key(self, model: Model, target: Target, *parts: object) -> str:
        with self._lock:
            if model not in self._hashes:
                with tempfile.TemporaryDirectory(prefix="ellopt-ell-") as name:
                    write_archive(for_ell(_archive(model)), Path(name) / MODEL_FILE)
                    self._hashes[model] = hashlib.sha256((Path(name) / MODEL_FILE).read_bytes()).hexdigest()
            facts = [self.version, self._hashes[model], repr(target), *map(repr, parts)]
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]

    def _compile_all(
        self, model: Model, plans: Sequence[Plan], target: Target, directory: Path, deadline: Deadline
    ) -> list[tuple[Compiled, ...]]:
        source = directory / f"model-{self._key(model, target)}" / MODEL_FILE
        if not source.is_file():
            write_archive(for_ell(_archive(model)), source)

        def compile_plan(plan: Plan) -> tuple[Compiled, ...]:
            found: tuple[Compiled, ...] = ()
            for profiled in (True, False) if self.settings.include_exercise_models else (True,):
                where = directory / "plans" / self._key(model, target, plan, profiled)
                found += self._compiler.compile(source, plan, target, profiled, where, deadline)
            return found if self._one_program else found[:1]

        return fan_out(compile_plan, plans, self._parallel_build)


def _manifest(bundle: Bundle) -> EllManifest:
    manifest = EllManifest.read(bundle.path)
    if not isinstance(bundle, EllBundle) or manifest is None or manifest.digest != bundle.digest:
        raise ValueError(f"{bundle.path} is no bundle of the ell toolchain any more")
    return manifest


def _archive(model: Model) -> Archive:
    """What ``model`` was read from. Raises ModelFormatError where ELL cannot read that."""
    if not isinstance(model.source, Archive):
        raise ModelFormatError(f"{model.path}: --toolchain ell: ELL reads .ell files only; use --toolchain native")
    return model.source


def _weight_bytes(model: Model, plan: Plan) -> int:
    return sum(
        find_method(plan[node.node_id].method).weight_bytes(_shape(node), plan[node.node_id])
        for node in model.convolutions
    )


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


def make(build: BuildSettings, own: OwnGroups, target: Target) -> EllToolchain:
    """The toolchain as set. Raises ConfigurationError if ELL's programs are not there or do not run."""
    settings = own[EllSettings]
    elf = not target.is_host or sys.platform != "darwin"
    tools = find_tools(settings.ell_root, settings.ell_build_root)
    return EllToolchain(tools, build.parallel_build, one_program=elf, settings=settings)
