"""Runs an invocation of a bundle in a private directory of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.files.full_disk import blame_full_disk, disk_full, is_full
from ellopt.files.process import Abort, run_in_group


def run_here(
    bundle: Bundle,
    invocation: Invocation,
    deadline: Deadline,
    *,
    wrapper: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    abort: Abort | None = None,
) -> Execution:
    """Run ``invocation`` of ``bundle`` and collect its output files, as ``Device.run`` asks.

    ``wrapper`` is put before the command (an emulator with its arguments). An output file that the command did
    not write is left out of the result.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="ellopt-run-", ignore_cleanup_errors=True) as name:
            directory = Path(name)
            for file in bundle.files:
                _place(bundle.path / file, directory / file)
            for file, data in invocation.inputs.items():
                (directory / file).unlink(missing_ok=True)  # never write through a link into the bundle
                (directory / file).write_bytes(data)
            program, *rest = invocation.arguments
            limit = deadline.at_most(invocation.limit_seconds)
            completed = run_in_group([*wrapper, str(directory / program), *rest], directory, limit, environment, abort)
            outputs = {
                file: (directory / file).read_bytes() for file in invocation.outputs if (directory / file).is_file()
            }
            if completed.exit_code != 0 or len(outputs) < len(invocation.outputs):
                blame_full_disk("", (directory,))
    except OSError as error:
        if is_full(error):
            raise disk_full(error) from error
        raise InfrastructureError(f"cannot run {bundle.path.name} here: {error}") from error
    return Execution(
        exit_code=completed.exit_code,
        stdout=completed.stdout.decode(errors="replace"),
        stderr=completed.stderr.decode(errors="replace"),
        outputs=outputs,
        seconds=completed.seconds,
    )


def _place(source: Path, target: Path) -> None:
    """Put a bundle's file into a run's directory without copying its content, where that is possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or another owner
        try:
            target.symlink_to(source.resolve())
        except OSError:  # a file system or a system without symbolic links
            shutil.copy2(source, target)
