"""A tuned model as a library to deploy: C header, static and shared library, CMake file, example, Python module."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ellopt import __version__
from ellopt.codegen.bands import takes_turns
from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.emit import Variant, emit_network, site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.sources import C_FOLDERS, RUNTIME, c_text
from ellopt.codegen.steps import STEP_FUNCTIONS
from ellopt.codegen.weights import WeightFile
from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.core.plan import Plan
from ellopt.deploy.cpu import NATIVE, for_any_cpu, for_cpu, is_x86
from ellopt.deploy.header import port_facts
from ellopt.deploy.identifier import chosen_name, library_name
from ellopt.deploy.manifest import MANIFEST, require_ours, write_files
from ellopt.deploy.ports import Inputs
from ellopt.deploy.preprocess import Preprocess
from ellopt.files.atomic import make_directory
from ellopt.frontends.base import read_model
from ellopt.model.graph import Model
from ellopt.model.names import safe_name
from ellopt.space.options_file import plan_for
from ellopt.targets import Target, find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from ellopt.toolchains.object_cache import object_cache
from ellopt.toolchains.zig import Compiler, cpu_of

_TEMPLATES = Path(__file__).parent / "templates"
_BUILD_SECONDS = 1800.0
#: the oldest C library that boards may have: that of Raspbian 10
_GLIBC = "2.28"
#: functions of the runtime that cross object files, besides those of steps; a library has them under names of its own
_RUNTIME_FUNCTIONS = (
    *("ell_pool_run", "ell_pool_run_back", "ell_pool_threads", "ell_pool_create", "ell_pool_destroy"),
    *("ell_pool_together", "ell_pool_goes_on", "ell_pool_run_alone", "ell_pool_beside", "ell_pool_scratch"),
    *("ell_pool_is_callers", "ell_run_steps"),
    *(
        "ell_run",
        "ell_run_step",
        "ell_run_turn",
        "ell_put_border",
        "ell_workspace_floats",
        "ell_common_pool",
        "ell_tensor_data",
        "ell_the_network",
    ),
    *("ell_tensor_data_of", "ell_fill_border", "ell_half_fill_border", "ell_find_halves"),
    *("ell_half_elementwise", "ell_half_pooling", "ell_half_binary", "ell_half_copy_values"),
    *("ell_pool_is_ours", "ell_pool_has_threads", "ell_core_floats", "ell_core_run", "ell_cpu_needs"),
)
#: of the functions that a library offers: the first number changes when programs must
LIBRARY_VERSION = "1.0.0"
#: as in ellopt_pool.h
MOST_THREADS = 1024
_PREDICTOR = "predictor"


@dataclass(frozen=True)
class DeployedLibrary:
    """What ``compile_library`` wrote. Sizes in bytes; memory is what a caller provides for a call."""

    directory: Path
    name: str
    files: tuple[str, ...]
    code_bytes: int
    weight_bytes: int
    memory_bytes: int
    memory_bytes_threads: int
    threads: int

    def summary(self) -> list[str]:
        """Lines for a person."""
        memory, memory_threads = self.memory_bytes / 2**20, self.memory_bytes_threads / 2**20
        return [
            f"{self.directory}: {', '.join(self.files)}",
            f"code {self.code_bytes / 1024:.0f} KiB, weights {self.weight_bytes / 2**20:.2f} MiB, "
            f"memory for a call {memory:.2f} MiB ({memory_threads:.2f} MiB on {self.threads} threads)",
        ]


def compile_library(
    model: Model,
    directory: Path,
    target: Target,
    options: Plan | Path | None = None,
    toolchain: NativeToolchain | None = None,
    name: str = "",
    cpu: str = NATIVE,
    force: bool = False,
    check: Callable[[DeployedLibrary], None] | None = None,
    preprocess: Preprocess | None = None,
) -> DeployedLibrary:
    """Write a deployable library of ``model`` into ``directory``.

    ``options`` is a plan or a ``compile_options.json``; the default is what the model says. Libraries for boards, and
    those of Linux for a ``cpu`` other than this machine's, are made for a glibc that most systems have. ``name``: of
    the library, empty for one made of the model's. ``force``: files that are not as this function left them are
    overwritten. ``preprocess``: how the Python module prepares pictures. ``check`` is given the finished library in a
    folder beside; if it raises, nothing is written. Raises ConfigurationError (also for such files), BuildError, and
    what ``check`` raises.
    """
    toolchain = toolchain or NativeToolchain()
    name = chosen_name(name) if name else library_name(model.name)
    target = for_cpu(target, cpu)
    files = _Files.of(name, target)
    if not force:
        require_ours(directory, name, files.all)
    prepared = toolchain.prepare(model)
    plan = options if isinstance(options, Plan) else plan_for(prepared, options)
    plan = toolchain.valid_plan(prepared, plan, target)
    target = _for_glibc(target)
    try:
        make_directory(directory)
        with tempfile.TemporaryDirectory(prefix="ellopt-compile-") as scratch:
            made = _Library(prepared, plan, target, files, Path(scratch), preprocess or Preprocess())
            return made.write(directory, model, check)
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error}") from error


def _for_glibc(target: Target) -> Target:
    if not target.is_host:
        return replace(target, triple=f"{target.triple.replace('musl', 'gnu')}.{_GLIBC}")
    if target.cpu and sys.platform == "linux":
        return replace(target, triple=f"x86_64-linux-gnu.{_GLIBC}")
    return target


class Predictor:
    """A model compiled for this machine, as a function of rows x columns x channels. Not for two threads at once."""

    def __init__(self, model: Model, threads: int = 0, options: Plan | Path | None = None) -> None:
        host = find_target("host")
        self._scratch = tempfile.TemporaryDirectory(prefix="ellopt-predictor-", ignore_cleanup_errors=True)
        # A name that the model has no part in: nothing of a file that somebody else named is run.
        library = compile_library(model, Path(self._scratch.name), host, options, name=_PREDICTOR)
        spec = importlib.util.spec_from_file_location(library.name, library.directory / f"{library.name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._network: Any = module.Model(threads=threads or min(host.cores, MOST_THREADS))

    def __call__(self, values: Inputs) -> Any:
        """The output, float32: of rows x columns x channels, or of the shape that an ONNX model says; by name where it
        has several. ``values`` likewise. Raises ConfigurationError for an input of another size."""
        try:
            given = values if isinstance(values, Mapping) else np.asarray(values, np.float32)
            result = self._network.predict(given)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return result


def load_predictor(path: Path, threads: int = 0) -> Predictor:
    """Compile the model in ``path`` for this machine, honouring the options in it. Raises as ``compile_library``."""
    return Predictor(read_model(path), threads)


@dataclass(frozen=True)
class _Files:
    """The names of a library's files. ``shared``: as programs are linked with it; ``soname``: as they look for it."""

    name: str
    shared: str
    soname: str
    full: str

    @classmethod
    def of(cls, name: str, target: Target) -> _Files:
        major = LIBRARY_VERSION.partition(".")[0]
        if target.is_host and sys.platform == "darwin":
            return cls(name, f"lib{name}.dylib", f"lib{name}.{major}.dylib", f"lib{name}.{LIBRARY_VERSION}.dylib")
        return cls(name, f"lib{name}.so", f"lib{name}.so.{major}", f"lib{name}.so.{LIBRARY_VERSION}")

    @property
    def archive(self) -> str:
        return f"lib{self.name}.a"

    @property
    def texts(self) -> dict[str, str]:
        """Name -> template."""
        return {
            f"{self.name}.h": "library.h.in",
            "main.c": "example.c.in",
            "CMakeLists.txt": "library.cmake.in",
            f"{self.name}Config.cmake": "library_config.cmake.in",
            f"{self.name}ConfigVersion.cmake": "library_version.cmake.in",
            f"{self.name}.pc": "library.pc.in",
            f"{self.name}.py": "library.py.in",
        }

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.texts, self.archive, self.shared, self.soname)

    @property
    def soname_flag(self) -> str:
        if self.shared.endswith(".dylib"):
            return f"-Wl,-install_name,@rpath/{self.soname}"
        return f"-Wl,-soname,{self.soname}"


class _Library:
    def __init__(self, prepared: Model, plan: Plan, target: Target, files: _Files, scratch: Path,
        preprocess: Preprocess,
    ) -> None:  # fmt: skip
        self._cores = target.cores if any(options.parallelize for options in plan.values()) else 1
        self._network = lower(prepared, takes_turns(cpu_of(target), self._cores))
        self._plan = plan
        self._target = target
        self._files = files
        self._name = files.name
        self._scratch = scratch
        self._preprocess = preprocess

    def write(self, directory: Path, model: Model, check: Callable[[DeployedLibrary], None] | None) -> DeployedLibrary:
        variants = [[self._variant(i)] for i in range(len(self._network.convolutions))]
        stream = io.BytesIO()
        weights = WeightFile(stream)
        table = emit_network(self._network, variants, weights)
        (self._scratch / "weights.bin").write_bytes(stream.getvalue())
        facts = self._facts(model, [row[0] for row in variants], weights)
        archive, shared = self._build(table, [row[0] for row in variants], facts)
        facts["code_bytes"] = code = max(0, len(shared) - 4 * weights.floats)
        names = self._files
        files = {file: self._render(template, facts).encode() for file, template in names.texts.items()}
        files |= {names.archive: archive, names.shared: shared}
        made = DeployedLibrary(
            self._scratch / "finished",
            self._name,
            (*names.all, MANIFEST),
            code,
            4 * weights.floats,
            facts["memory_bytes"],
            facts["memory_bytes_threads"],
            facts["threads"],
        )
        links = {names.soname: names.shared}
        if check is not None:
            make_directory(made.directory)
            write_files(made.directory, self._name, files, links)
            check(made)
        write_files(directory, self._name, files, links)
        return replace(made, directory=directory)

    def _build(self, table: str, variants: list[Variant], facts: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The static and the shared library."""
        sources = {name: c_text(name) for name in RUNTIME}
        sources |= {variant.function: variant.kernel.source(variant.function) for variant in variants}
        # Names of libraries have no capitals: what is renamed so meets no function of any library.
        functions = {*_RUNTIME_FUNCTIONS, *STEP_FUNCTIONS, *(variant.function for variant in variants)}
        prefix = "".join(f"#define {f} {self._name}E_{f}\n" for f in sorted(functions))
        kept = object_cache(self._scratch / "objects")
        compiler = Compiler(self._target, C_FOLDERS, kept)
        deadline = Deadline.after(_BUILD_SECONDS)
        objects = compiler.objects({key: prefix + text for key, text in sources.items()}, deadline, ("-fPIC",))
        # This one has the weights in it, which its text does not say: no other library may find it.
        embedding = Compiler(self._target, C_FOLDERS, self._scratch / "objects")
        flags = ("-fPIC", f"--embed-dir={self._scratch}", "-Wno-c23-extensions")
        core = prefix + table + "\n" + self._render("library_core.c.in", facts)
        objects |= embedding.objects({"core": core}, deadline, flags)
        # What programs call runs on any processor, to say that this one is too old for the rest.
        plain = Compiler(self._any_cpu(), C_FOLDERS, kept)
        objects |= plain.objects({"library": prefix + self._render("library.c.in", facts)}, deadline, ("-fPIC",))
        archive, shared = self._scratch / self._files.archive, self._scratch / self._files.shared
        compiler.archive(objects, archive, deadline)
        compiler.link(objects.values(), shared, deadline, ("-shared", self._files.soname_flag))
        return archive.read_bytes(), shared.read_bytes()

    def _any_cpu(self) -> Target:
        x86 = is_x86() if self._target.is_host else self._target.triple.startswith("x86_64")
        return for_any_cpu(self._target) if x86 else self._target

    def _variant(self, index: int) -> Variant:
        step = self._network.convolutions[index]
        site = site_of(self._network, step, cpu_of(self._target), self._cores)
        return Variant(kernel_for(site, self._plan[step.reported_id]))

    def _facts(self, model: Model, variants: list[Variant], weights: WeightFile) -> dict[str, Any]:
        source = self._network.tensors[self._network.input_name]
        result = self._network.tensors[self._network.output_name]
        rows = []
        for step, variant in zip(self._network.convolutions, variants, strict=True):
            parallel = int(self._plan[step.reported_id].parallelize)
            rows.append(f"{{0, {parallel}, {', '.join(map(str, variant.kernel.depths))}}}")
        threads = min(self._target.cores, MOST_THREADS)

        def memory(count: int) -> int:
            workspace = max((v.kernel.workspace_floats(count) for v in variants), default=0)
            return 4 * (self._network.arena_floats + workspace) + 128

        return {
            "name": self._name,
            "NAME": self._name.upper(),
            "model": safe_name(model.name),
            "version": __version__,
            "library_version": LIBRARY_VERSION,
            "library_major": LIBRARY_VERSION.partition(".")[0],
            "target": safe_name(self._target.name),
            "description": _in_comment(self._target.description),
            "cpu": _in_comment(self._target.compiler_cpu),
            "most_threads": MOST_THREADS,
            "threads": threads,
            "choices": ", ".join(rows or ["{0}"]),
            **port_facts(model, self._name),
            "preprocess_python": repr(asdict(self._preprocess)),
            "input_rows": source.rows,
            "input_columns": source.columns,
            "input_channels": source.channels,
            "input_size": source.elements,
            "output_rows": result.rows,
            "output_columns": result.columns,
            "output_channels": result.channels,
            "output_size": result.elements,
            "memory_bytes": memory(1),
            "memory_bytes_threads": memory(threads),
            "weight_bytes": 4 * weights.floats,
            "shared_name": self._files.shared,
            "shared_full": self._files.full,
            "soname": self._files.soname,
        }

    def _render(self, template: str, facts: Mapping[str, Any]) -> str:
        text = (_TEMPLATES / template).read_text(encoding="utf-8")
        return re.sub(r"@(\w+)@", lambda match: str(facts[match[1]]), text)


def _in_comment(text: str) -> str:
    """``text`` without what means something in C, Python or CMake."""
    return re.sub(r"[^A-Za-z0-9_.,() -]", "_", text)
