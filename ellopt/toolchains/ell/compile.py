"""One plan through ELL's compile: command lines, object files, and what its header says."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.core.plan import Plan
from ellopt.files.atomic import write_text
from ellopt.files.full_disk import blame_full_disk
from ellopt.files.process import Completed, run_in_group
from ellopt.files.sealed import is_whole, publish
from ellopt.frontends.ell.archive import Archive
from ellopt.targets import Target
from ellopt.toolchains.ell.settings import EllSettings
from ellopt.toolchains.ell.tools import EllTools

logger = logging.getLogger(__name__)

#: the longest that one of ELL's or LLVM's programs may take, in seconds
COMPILE_SECONDS = 900.0
PLAIN, OPTIMISED = "plain", "opt"
MODEL_FILE = "model.ell"
_BASE = "compiled_model"
_COMMANDS, _OUTPUT = "commands.txt", "output.txt"

_GENERIC = ("-relocation-model=pic",)
#: what LLVM's llc must be told where compile knows it by the target's name
_LLC_OPTIONS = {
    "pi0": ("-mtriple=arm-linux-gnueabihf", "-mcpu=arm1176jzf-s", *_GENERIC),
    "pi3": ("-mtriple=armv7-linux-gnueabihf", "-mcpu=cortex-a53", *_GENERIC),
    "orangepi0": ("-mtriple=armv7-linux-gnueabihf", "-mcpu=cortex-a7", *_GENERIC),
    "pi3_64": ("-mtriple=aarch64-unknown-linux-gnu", *_GENERIC),
    "aarch64": ("-mtriple=aarch64-unknown-linux-gnu", *_GENERIC),
}
_INTERFACE = (
    *("ELL_Predict", "ELL_GetInputSize", "ELL_GetOutputSize"),
    *("ELL_GetNumNodes", "ELL_GetNodeInfo", "ELL_GetNodePerformanceCounters", "ELL_GetModelPerformanceCounters"),
    *("ELL_ResetNodeProfilingInfo", "ELL_ResetNodeTypeProfilingInfo", "ELL_ResetModelProfilingInfo"),
)


@dataclass(frozen=True)
class Header:
    """What the runner must know of the header that compile wrote."""

    text: str
    value: str  # float or double
    context: bool  # ELL_Predict takes a context first
    indexed: bool  # ELL_GetInputSize takes an index

    @classmethod
    def read(cls, path: Path, profiled: bool) -> Header:
        """Raises BuildError if the header has another interface than ELL 3 gives it."""
        text = path.read_text(encoding="utf-8", errors="replace")
        for name in _INTERFACE if profiled else _INTERFACE[:3]:
            if not re.search(rf"\b{name}\s*\(", text):
                raise BuildError(f"the header that ELL's compile wrote does not declare {name}: ELL 3 is needed", text)
        if profiled and "nodeAncestor" not in text:
            raise BuildError("the header that ELL's compile wrote knows no nodeAncestor: ELL 3.1 is needed", text)
        predict = re.search(r"\bELL_Predict\s*\(([^)]*)\)\s*;", text)
        arguments = [part.strip() for part in predict[1].split(",")] if predict else []
        values = [part for part in arguments if re.match(r"(const\s+)?(float|double)\b", part)]
        if len(values) != 2:
            raise BuildError("the model has other than one input and one output of numbers, as its header says", text)
        size = re.search(r"\bELL_GetInputSize\s*\(([^)]*)\)", text)
        indexed = bool(size and size[1].strip() not in ("", "void"))
        return cls(text, "double" if "double" in values[0] else "float", len(arguments) > 2, indexed)


@dataclass(frozen=True)
class Compiled:
    """A form of a plan's code: the object and what its header says. ``form``: plain or opt."""

    form: str
    profiled: bool
    object: Path
    header: Header


class EllCompiler:
    """Compiles plans, each in a directory of its own; what is there already is not compiled again.

    At most ``parallel`` programs of ELL and LLVM are at work at once, whoever asks. The output of a compilation that
    fails is kept in ``failed-builds`` beside the directory of bundles.
    """

    def __init__(self, tools: EllTools, use_blas: bool, parallel: int = 0, settings: EllSettings | None = None) -> None:
        self._tools = tools
        self._settings = settings or EllSettings()
        self._use_blas = use_blas
        self._slots = threading.BoundedSemaphore(parallel or os.cpu_count() or 1)
        self._warned = threading.Event()

    def blas(self, target: Target) -> bool:
        """Whether code for ``target`` calls BLAS: only where it is linked with this machine's."""
        return self._use_blas and target.is_host

    def check_model(self, model: Path, node_ids: Sequence[str], deadline: Deadline) -> None:
        """Raise ConfigurationError unless ELL itself reads the model and sees the same convolution layers."""
        command = (str(self._tools.print), "-imap", str(model), "--nodeDetails", "false", "--includeNodeId")
        done = self._run(command, model.parent, deadline)
        text = done.stdout.decode(errors="replace")
        if done.exit_code != 0:
            said = (done.stderr.decode(errors="replace") or text).strip()[-300:]
            raise ConfigurationError(f"ELL's print cannot read the model (exit code {done.exit_code}): {said}")
        seen = re.findall(r"<id:([^>]+)>\s+ConvolutionalLayerNode", text)
        if sorted(seen) != sorted(node_ids):
            raise ConfigurationError(
                f"ELL sees the convolution layers {', '.join(seen) or 'none'}, the file has {', '.join(node_ids)}"
            )

    def compile(
        self, archive_text: Path, plan: Plan, target: Target, profiled: bool, directory: Path, deadline: Deadline
    ) -> tuple[Compiled, ...]:
        """The plain form of ``plan``, and the one passed through LLVM's opt and llc where they are there and work.

        ``archive_text`` is the model's file. Raises BuildError, with the programs' output.
        """
        if not is_whole(directory):
            directory.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".compile-"))
            try:
                self._compile(archive_text, plan, target, profiled, scratch, deadline)
            except BuildError as error:
                raise BuildError(f"{error} (output in {_keep(scratch, directory)})", error.log) from error
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
            publish(scratch, directory)
        header = Header.read(directory / f"{_BASE}.h", profiled)
        found = ((PLAIN, f"{_BASE}.o"), (OPTIMISED, f"{_BASE}_opt.o"))
        return tuple(
            Compiled(form, profiled, directory / name, header) for form, name in found if (directory / name).is_file()
        )

    def _compile(
        self, model: Path, plan: Plan, target: Target, profiled: bool, directory: Path, deadline: Deadline
    ) -> None:
        log = _Log(directory)
        parallel = any(options.parallelize for options in plan.values())
        # Paths are relative to the directory, so that the recorded lines hold wherever it is moved.
        command = [str(self._tools.compile), "-imap", str(model), "--outputDirectory", "."]
        command += ["--outputFilenameBase", _BASE, "--target", target.ell_name, "--header", "--objectCode"]
        command += ["--bitcode"] * self._tools.optimises + ["--profile"] * profiled
        command += ["--blas", _boolean(self.blas(target)), "--parallelize", _boolean(parallel)]
        command += ["--vectorize", _boolean(self._settings.vectorize)]
        # --threads does not get as far as the compiled code, whose pool has 4 threads whatever it says.
        command += ["--modelOption", f"maxThreads,{target.cores}"]
        for node_id, options in plan.items():
            for name, value in options.to_ell().items():
                command += ["--nodeOption", f"{node_id},{name},{value}"]
        log.run(self, command, deadline, f"ELL's compile for {target.ell_name}")
        objects = [path for path in (directory / f"{_BASE}.o", directory / f"{_BASE}.obj") if path.is_file()]
        if not objects or not (directory / f"{_BASE}.h").is_file():
            raise BuildError("ELL's compile ended well but left no object and header", log.text)
        os.replace(objects[0], directory / f"{_BASE}.o")
        Header.read(directory / f"{_BASE}.h", profiled)
        if self._tools.optimises:
            try:
                self._optimise(directory, target, log, deadline)
            except BuildError as error:
                if not self._warned.is_set():
                    self._warned.set()
                    logger.warning("only ELL's own code is measured, LLVM's opt and llc fail: %s", error)
        for name in (f"{_BASE}.bc", f"{_BASE}_opt.bc"):  # large, and of no more use
            (directory / name).unlink(missing_ok=True)
        write_text(directory / "compile_switches.txt", shlex.join(command[1:]))
        log.write()

    def _optimise(self, directory: Path, target: Target, log: _Log, deadline: Deadline) -> None:
        code, better, result = f"{_BASE}.bc", f"{_BASE}_opt.bc", f"{_BASE}_opt.part"
        contract = f"-fp-contract={self._settings.fp_contract}"
        opt = [str(self._tools.opt), code, "-o", better, "-O3", contract]
        log.run(self, opt, deadline, "LLVM's opt")
        options = _LLC_OPTIONS.get(target.ell_name, _GENERIC)
        llc = [str(self._tools.llc), better, "-o", result, "-O3", contract, "-filetype=obj", *options]
        log.run(self, llc, deadline, "LLVM's llc")
        os.replace(directory / result, directory / f"{_BASE}_opt.o")

    def _run(self, command: Sequence[str], directory: Path, deadline: Deadline) -> Completed:
        with self._slots:
            limit = deadline.at_most(COMPILE_SECONDS)
            try:
                return run_in_group(command, directory, limit)
            except DeadlineExceeded as error:
                if deadline.passed:
                    raise
                raise BuildError(f"{Path(command[0]).name} took longer than {COMPILE_SECONDS:g} s") from error
            except InfrastructureError as error:
                raise BuildError(str(error)) from error


class _Log:
    """The command lines of a compilation and what the programs said."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._commands: list[str] = []
        self.text = ""

    def run(self, compiler: EllCompiler, command: Sequence[str], deadline: Deadline, what: str) -> None:
        self._commands.append(shlex.join(command))
        self.text += f"$ {shlex.join(command)}\n"
        try:
            done = compiler._run(command, self._directory, deadline)
        except BuildError as error:
            self._save(_OUTPUT, self.text + f"{error}\n")
            raise BuildError(f"{what}: {error}", self.text) from error
        said = (done.stdout + done.stderr).decode(errors="replace")
        self.text += said
        if done.exit_code != 0:
            blame_full_disk(said, (self._directory,))
            self._save(_OUTPUT, self.text)
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            last = f": {lines[-1][:300]}" if lines else ""
            raise BuildError(f"{what} ended with exit code {done.exit_code}{last}", self.text)

    def write(self) -> None:
        """Write what a finished compilation leaves; the command lines say that it is whole."""
        self._save(_OUTPUT, self.text)
        self._save(_COMMANDS, "\n".join(self._commands) + "\n")

    def _save(self, name: str, text: str) -> None:
        write_text(self._directory / name, text)


def commands_of(directory: Path) -> str:
    """The command lines that made what is in ``directory``; empty if there is nothing."""
    try:
        return (directory / _COMMANDS).read_text(encoding="utf-8")
    except OSError:
        return ""


def for_ell(archive: Archive) -> Archive:
    """The model as ELL gets it: without options, which come with the command, every node its own ancestor.

    ELL passes an ancestor on that is there already, and its profile names that one.
    """
    nodes: list[dict[str, Any]] = []
    for node in archive.nodes:
        metadata = node.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("data"), list):
            data = [entry for entry in metadata["data"] if entry.get("k") not in ("compileOptions", "ancestor")]
            value = {"_type": "Variant", "_version": "0", "type": "std::string", "value": node["id"]}
            data.append({"_type": "PropertyBag::KeyValue", "_version": "0", "k": "ancestor", "v": value})
            node = {**node, "metadata": {**metadata, "data": data}}
        nodes.append(node)
    return archive.with_nodes(nodes)


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _keep(scratch: Path, directory: Path) -> Path:
    """Move what a failed compilation left to where it stays."""
    kept = directory.parents[2] / "failed-builds" / directory.name
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(scratch, kept)
    except OSError:
        return scratch
    return kept
