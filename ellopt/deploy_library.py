"""A tuned model as a library to deploy: C header, static and shared library, CMake file, example, Python module."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt import __version__
from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.emit import Variant, emit_network, site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.network import Network
from ellopt.codegen.weights import WeightFile
from ellopt.deadline import Deadline
from ellopt.errors import ConfigurationError
from ellopt.files.atomic import write_bytes
from ellopt.model.graph import Model, read_model
from ellopt.model.layers import FloatArray
from ellopt.option_files import plan_for
from ellopt.options import Plan
from ellopt.targets import Target, find_target
from ellopt.toolchains.native import NativeToolchain
from ellopt.toolchains.native_build import C_SOURCES, RUNTIME
from ellopt.toolchains.zig import Compiler, cpu_of

_BUILD_SECONDS = 1800.0
#: the oldest C library that boards may have: that of Raspbian 10
_GLIBC = "2.28"
#: functions of the runtime that cross object files; each library has them under names of its own
_RUNTIME_FUNCTIONS = (
    *("ell_pool_run", "ell_pool_threads", "ell_pool_create", "ell_pool_destroy"),
    *("ell_run", "ell_run_step", "ell_workspace_floats", "ell_common_pool", "ell_tensor_data", "ell_the_network"),
    *("ell_elementwise", "ell_pooling", "ell_fully_connected", "ell_softmax", "ell_binary"),
    *("ell_copy_values", "ell_fill_border"),
)


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


def library_name(text: str) -> str:
    """A C identifier made of a model's name."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "model"
    return f"model_{name}" if name[0].isdigit() else name


def compile_library(
    model: Model,
    directory: Path,
    target: Target,
    options: Plan | Path | None = None,
    toolchain: NativeToolchain | None = None,
) -> DeployedLibrary:
    """Write a deployable library of ``model`` into ``directory``.

    ``options`` is a plan or a ``compile_options.json``; the default is what the model says. Libraries for boards are
    made for glibc, which their systems have. Raises ConfigurationError, BuildError.
    """
    toolchain = toolchain or NativeToolchain()
    prepared = toolchain.prepare(model)
    plan = options if isinstance(options, Plan) else plan_for(prepared, options)
    plan = toolchain.valid_plan(prepared, plan, target)
    name = library_name(model.name)
    if not target.is_host:
        target = replace(target, triple=f"{target.triple.replace('musl', 'gnu')}.{_GLIBC}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="ellopt-compile-") as scratch:
            return _Library(lower(prepared), plan, target, name, Path(scratch)).write(directory, model)
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error}") from error


class Predictor:
    """A model compiled for this machine, as a function of rows x columns x channels. Not for two threads at once."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        host = find_target("host")
        self._scratch = tempfile.TemporaryDirectory(prefix="ellopt-predictor-", ignore_cleanup_errors=True)
        library = compile_library(read_model(path), Path(self._scratch.name), host)
        spec = importlib.util.spec_from_file_location(library.name, library.directory / f"{library.name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._network: Any = module.Model(threads=threads or host.cores)

    def __call__(self, values: npt.ArrayLike) -> FloatArray:
        """The output's rows x columns x channels, float32. Raises ConfigurationError for an input of another size."""
        try:
            result: FloatArray = self._network.predict(np.asarray(values, np.float32))
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return result


def load_predictor(path: Path, threads: int = 0) -> Predictor:
    """Compile the model in ``path`` for this machine, honouring the options in it. Raises as ``compile_library``."""
    return Predictor(path, threads)


class _Library:
    def __init__(self, network: Network, plan: Plan, target: Target, name: str, scratch: Path) -> None:
        self._network = network
        self._plan = plan
        self._target = target
        self._name = name
        self._scratch = scratch

    def write(self, directory: Path, model: Model) -> DeployedLibrary:
        variants = [[self._variant(i)] for i in range(len(self._network.convolutions))]
        stream = io.BytesIO()
        weights = WeightFile(stream)
        table = emit_network(self._network, variants, weights)
        (self._scratch / "weights.bin").write_bytes(stream.getvalue())
        facts = self._facts(model, [row[0] for row in variants], weights)
        sources = {name: (C_SOURCES / name).read_text(encoding="utf-8") for name in RUNTIME}
        sources |= {row[0].function: row[0].kernel.source(row[0].function) for row in variants}
        sources["library"] = table + "\n" + self._render("library.c.in", facts)
        functions = [*_RUNTIME_FUNCTIONS, *(row[0].function for row in variants)]
        prefix = "".join(f"#define {f} {self._name}_{f}\n" for f in sorted(set(functions)))
        compiler = Compiler(self._target, C_SOURCES, self._scratch / "objects")
        flags = ("-fPIC", f"--embed-dir={self._scratch}", "-Wno-c23-extensions")
        deadline = Deadline.after(_BUILD_SECONDS)
        objects = compiler.objects({key: prefix + text for key, text in sources.items()}, deadline, flags)
        archive, shared = self._scratch / f"lib{self._name}.a", self._scratch / str(facts["shared_name"])
        compiler.archive(objects, archive, deadline)
        compiler.link(objects.values(), shared, deadline, ("-shared",))
        code = shared.stat().st_size - 4 * weights.floats
        facts["code_bytes"] = max(0, code)
        write_bytes(directory / archive.name, archive.read_bytes())
        write_bytes(directory / shared.name, shared.read_bytes())
        texts = {
            f"{self._name}.h": "library.h.in",
            "main.c": "example.c.in",
            "CMakeLists.txt": "library.cmake.in",
            f"{self._name}.py": "library.py.in",
        }
        for file, template in texts.items():
            write_bytes(directory / file, self._render(template, facts).encode())
        return DeployedLibrary(
            directory,
            self._name,
            (*texts, archive.name, shared.name),
            max(0, code),
            4 * weights.floats,
            facts["memory_bytes"],
            facts["memory_bytes_threads"],
            self._target.cores,
        )

    def _variant(self, index: int) -> Variant:
        step = self._network.convolutions[index]
        site = site_of(self._network, step, cpu_of(self._target), self._target.cores)
        return Variant(kernel_for(site, self._plan[step.reported_id]))

    def _facts(self, model: Model, variants: list[Variant], weights: WeightFile) -> dict[str, Any]:
        source = self._network.tensors[self._network.input_name]
        result = self._network.tensors[self._network.output_name]
        rows = []
        for step, variant in zip(self._network.convolutions, variants, strict=True):
            parallel = int(self._plan[step.reported_id].parallelize)
            rows.append(f"{{0, {parallel}, {', '.join(map(str, variant.kernel.depths))}}}")
        threads = self._target.cores

        def memory(count: int) -> int:
            workspace = max((v.kernel.workspace_floats(count) for v in variants), default=0)
            return 4 * (self._network.arena_floats + workspace) + 128

        extension = "dylib" if self._target.is_host and sys.platform == "darwin" else "so"
        return {
            "name": self._name,
            "NAME": self._name.upper(),
            "model": model.name,
            "version": __version__,
            "target": self._target.name,
            "description": self._target.description,
            "threads": threads,
            "choices": ", ".join(rows or ["{0}"]),
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
            "shared_name": f"lib{self._name}.{extension}",
        }

    def _render(self, template: str, facts: Mapping[str, Any]) -> str:
        text = (C_SOURCES / template).read_text(encoding="utf-8")
        return re.sub(r"@(\w+)@", lambda match: str(facts[match[1]]), text)
