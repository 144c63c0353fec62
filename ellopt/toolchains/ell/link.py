"""Links the code of several plans that ELL compiled, with the runner, into one program."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ellopt.codegen.sources import C_FOLDERS
from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError
from ellopt.core.plan import Plan
from ellopt.model.check_data import check_outputs
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray, Softmax
from ellopt.targets import Target
from ellopt.toolchains.ell.abi import require_fit
from ellopt.toolchains.ell.bundle import REFERENCE, EllManifest, Worker, table_source
from ellopt.toolchains.ell.compile import Compiled
from ellopt.toolchains.ell.object import is_elf, rename_symbols
from ellopt.toolchains.native.bundle import digest_of
from ellopt.toolchains.zig import Compiler

RUNNER = "ell_runner"
#: where the C of the runner is, beside the native one's headers
C_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Linker:
    """``rename``: models get names of their own, so that several fit into one program. ``blas``: linked with, or None.

    ``cache`` keeps the objects of our own C.
    """

    target: Target
    cache: Path
    parallel: int
    rename: bool
    blas: Path | None

    def link(
        self,
        model: Model,
        weight_bytes: Mapping[Plan, int],
        compiled: Sequence[Sequence[Compiled]],
        directory: Path,
        deadline: Deadline,
    ) -> EllManifest:
        """Write the program and its files into ``directory``. ``compiled``: for each plan its forms.
        ``weight_bytes``: plan -> about how much its convolutions read in a pass.
        """
        slots = tuple(node.node_id for node in model.nodes)
        forms = [(number, form) for number, row in enumerate(compiled) for form in row]
        names = [f"ell_worker_{index}" for index in range(len(forms))]
        sources = {"runner": _c_text("ell_runner.c")}
        sources["table"] = table_source(names, slots)
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".models-") as scratch:
            objects = []
            for index, (name, (_, form)) in enumerate(zip(names, forms, strict=True)):
                prefix = f"w{index}_" if self.rename else ""
                objects.append(Path(scratch) / f"{name}.o")
                self._require_fit(form.object)
                sources[name] = _worker_source(form, name, prefix, _rename(form.object, prefix, objects[-1]))
            compiler = Compiler(self.target, (*C_FOLDERS, C_FOLDER), self.cache, self.parallel)
            objects += compiler.objects(sources, deadline).values()
            compiler.link(objects, directory / RUNNER, deadline, self._flags)
        inputs, outputs = _check_data(model)
        (directory / "check_input.bin").write_bytes(inputs.astype("<f4").tobytes())
        np.save(directory / REFERENCE, outputs)
        files = (RUNNER, "check_input.bin")
        manifest = EllManifest(
            digest=digest_of(directory, files),
            files=files,
            target=self.target.name,
            threads=self.target.cores,
            code_bytes=(directory / RUNNER).stat().st_size,
            plans=tuple(weight_bytes),
            weight_bytes=tuple(weight_bytes.values()),
            workers=tuple(Worker(number, form.form, form.profiled) for number, form in forms),
            slots=slots,
            layers=tuple(node.node_id for node in model.convolutions),
            log_outputs=_ends_in_softmax(model),
        )
        manifest.write(directory)
        return manifest

    def _require_fit(self, path: Path) -> None:
        try:
            require_fit(path.read_bytes(), self.target)
        except ValueError as error:
            raise BuildError(f"{path} cannot be linked: {error}; ELL's compile or llc was built otherwise") from error

    @property
    def _flags(self) -> tuple[str, ...]:
        # ELL's code for this machine need not be position independent.
        flags: tuple[str, ...] = ("-no-pie",) if self.target.is_host and sys.platform == "linux" else ()
        return flags if self.blas is None else (*flags, str(self.blas), f"-Wl,-rpath,{self.blas.parent}")


def _rename(source: Path, prefix: str, target: Path) -> tuple[str, ...]:
    """Copy an object with ``prefix`` before what it defines; returns the old names."""
    data = source.read_bytes()
    names: tuple[str, ...] = ()
    if prefix:
        if not is_elf(data):
            raise BuildError(f"{source} is no ELF object: ELL's compile wrote it for another system")
        try:
            data, names = rename_symbols(data, prefix)
        except ValueError as error:
            raise BuildError(f"{source}: {error}") from error
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
    template = _c_text("ell_worker.c.in")
    names = [name for name in defined if re.fullmatch(r"ELL_\w+", name)]
    lines = [f"#define {name} {prefix}{name}" for name in names]
    return "\n".join([*lines, form.header.text, re.sub(r"@(\w+)@", lambda match: facts[match[1]], template)])


def _c_text(name: str) -> str:
    return (C_FOLDER / name).read_text(encoding="utf-8")


def _ends_in_softmax(model: Model) -> bool:
    return isinstance(model.by_id[model.output.inputs[0]], Softmax)


def _check_data(model: Model) -> tuple[FloatArray, FloatArray]:
    """Inputs that every plan is checked with, and what the model must make of them: [input, element]."""
    inputs, outputs = check_outputs(model, count=2)
    return inputs.reshape(2, -1), outputs
