"""What a device runs: a directory, a command in it, and what came back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.targets import Target


@dataclass(frozen=True)
class Bundle:
    """A directory that can be copied to a device and run there.

    ``digest`` is a hash over the names and contents of ``files`` (paths relative to ``path``); two bundles of
    one digest are the same bundle. ``choices`` says which options each convolution layer can run with: any
    plan made of them runs without another build.
    """

    path: Path
    digest: str
    files: tuple[str, ...]
    toolchain: str
    target: Target
    choices: Mapping[str, frozenset[ConvolutionOptions]]
    code_bytes: int = 0

    def runs(self, plan: Plan) -> bool:
        return set(plan) == set(self.choices) and all(
            options in self.choices[node_id] for node_id, options in plan.items()
        )


@dataclass(frozen=True)
class Invocation:
    """How a job is started in a bundle: a command relative to the bundle's directory, files to put beside it
    first, and the names of the files to fetch afterwards. Names are flat: no directories. The command is killed when
    it has run for ``limit_seconds``; copying does not count."""

    arguments: tuple[str, ...]
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    limit_seconds: float = math.inf


@dataclass(frozen=True)
class Execution:
    """What came back from running an invocation on a device."""

    exit_code: int
    stdout: str
    stderr: str
    outputs: Mapping[str, bytes]
    seconds: float
