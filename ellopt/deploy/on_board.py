"""A library's example, built here and run on the board that the library is for."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError, InfrastructureError
from ellopt.deploy.library import DeployedLibrary
from ellopt.deploy.run_settings import UsedDevice, used_device
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.files.process import run_in_group
from ellopt.measure.accuracy import allowance
from ellopt.model.check_data import OUTPUT_LIMIT
from ellopt.model.graph import Model
from ellopt.model.wanted import Wanted
from ellopt.space.options_file import plan_for
from ellopt.targets import Target
from ellopt.toolchains.native.toolchain import NativeToolchain
from ellopt.toolchains.zig import link_flags, target_flags, zig_command

_SECONDS = 1800.0
_INPUT, _TIMES = "input.bin", "times.txt"


@dataclass(frozen=True)
class BoardRun:
    """What the example took on ``board``, milliseconds a pass after the first; its output was compared with the
    reference."""

    board: str
    first_ms: float
    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.samples_ms)

    def to_json(self) -> dict[str, Any]:
        return {
            "board": self.board,
            "median_ms": self.median_ms,
            "first_ms": self.first_ms,
            "samples_ms": list(self.samples_ms),
        }


def run_example(
    library: DeployedLibrary,
    model: Model,
    target: Target,
    device: UsedDevice,
    passes: int = 50,
    options: Path | None = None,
) -> BoardRun:
    """Build the example of ``library``, copy it to a device, run it there and compare its output with the reference.

    ``options`` are those that the library was compiled with: they decide how far off it may be. The program is static:
    it needs nothing of the board but its kernel. Raises BuildError, CandidateError if it does not run or computes
    something else, InfrastructureError.
    """
    toolchain = NativeToolchain()
    prepared = toolchain.prepare(model)
    wanted = Wanted.of(prepared, 1)
    with tempfile.TemporaryDirectory(prefix="ellopt-example-") as name:
        bundle = _build(library, target, Path(name))
        given = np.ascontiguousarray(wanted.inputs[0], "<f4").tobytes()
        command = (f"./{bundle.files[0]}", _INPUT, str(passes + 1), _TIMES)
        with used_device(device, target) as used:
            done = used.run(bundle, Invocation(command, {_INPUT: given}, (_TIMES,)), Deadline.after(_SECONDS))
            board = used.board
    if done.exit_code != 0:
        raise CandidateError(
            f"{library.name}: the example ended with exit code {done.exit_code}: {done.stderr.strip()}"
        )
    times, output = _read(done, passes + 1)
    plan = toolchain.valid_plan(prepared, plan_for(prepared, options), target)
    error = wanted.error(output) / (OUTPUT_LIMIT * allowance(plan))
    if not error <= 1:
        raise CandidateError(f"{library.name}: the output on {board} is off by {error:.3g} times what is allowed")
    return BoardRun(board, times[0], times[1:])


def _build(library: DeployedLibrary, target: Target, directory: Path) -> Bundle:
    name = f"{library.name}_example"
    source, archive = ((library.directory / file).resolve() for file in ("main.c", f"lib{library.name}.a"))
    # Linked by other flags than it is compiled by: with them the C library is there already.
    commands = (
        (*target_flags(target), "-O2", "-c", str(source), "-o", "main.o"),
        (*link_flags(target), "main.o", str(archive), "-o", name, "-lm", "-lpthread"),
    )
    deadline = Deadline.after(_SECONDS)
    for arguments in commands:
        done = run_in_group((*zig_command(), "cc", *arguments), directory, deadline)
        if done.exit_code != 0:
            log = done.stderr.decode(errors="replace")
            raise BuildError(f"the example of {library.name} cannot be built: {log.strip()[-300:]}", log)
    digest = hashlib.sha256(name.encode() + (directory / name).read_bytes()).hexdigest()[:32]
    return Bundle(directory, digest, (name,), "example", target, {})


def _read(done: Execution, passes: int) -> tuple[tuple[float, ...], np.ndarray[Any, np.dtype[np.float32]]]:
    try:
        times = tuple(float(line) for line in done.outputs[_TIMES].decode().split())
        output = np.array([float(line) for line in done.stdout.split()], np.float32)
    except (KeyError, ValueError) as error:
        raise InfrastructureError(f"the example left no times or outputs that can be read: {error}") from error
    if len(times) != passes:
        raise InfrastructureError(f"the example left {len(times)} times instead of {passes}")
    return times, output
