"""A tiny program that goes the way of every measurement: compiled, put on a board, run there, its output fetched."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.devices.base import Device
from ellopt.devices.bundle import Bundle, Invocation
from ellopt.targets import Target
from ellopt.toolchains.object_cache import object_cache
from ellopt.toolchains.zig import Compiler

_BUILD_SECONDS = 300.0
_RUN_SECONDS = 60.0
_SOURCE = """\
#include <stdio.h>
int main(void)
{
    FILE *job = fopen("job", "rb"), *result = fopen("result", "wb");
    int byte;
    if (!job || !result) return 2;
    while ((byte = getc(job)) != EOF) putc(255 - byte, result);
    return fclose(result) ? 3 : 0;
}
"""


@contextmanager
def probe_bundle(target: Target) -> Iterator[Bundle]:
    """A bundle for ``target`` whose program answers every byte of its job with 255 minus it.

    Raises BuildError or ConfigurationError if it cannot be compiled.
    """
    with tempfile.TemporaryDirectory(prefix="ellopt-probe-") as name:
        directory = Path(name)
        deadline = Deadline.after(_BUILD_SECONDS)
        compiler = Compiler(target, (directory,), object_cache(directory / "objects"), 1)
        program = directory / "probe"
        compiler.link(compiler.objects({"probe": _SOURCE}, deadline).values(), program, deadline)
        digest = hashlib.sha256(program.read_bytes()).hexdigest()[:32]
        yield Bundle(directory, digest, ("probe",), "probe", target, {})


def run_probe(device: Device, bundle: Bundle) -> None:
    """Run the program of ``probe_bundle`` on a device. Raises InfrastructureError, or CandidateError if the program
    does not do there what it does."""
    job = bytes(range(256)) + os.urandom(64)
    invocation = Invocation(("./probe",), {"job": job}, ("result",))
    execution = device.run(bundle, invocation, Deadline.after(_RUN_SECONDS))
    if execution.exit_code != 0:
        raise CandidateError(
            f"a program for {bundle.target.name} ends there with {execution.exit_code}: is that the right --target?"
        )
    if execution.outputs.get("result") != bytes(255 - byte for byte in job):
        raise InfrastructureError("a program ran there, but what came back is not what it was to answer")
