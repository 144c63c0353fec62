"""What every toolchain does: turn (model, plans, target) into a bundle, and speak with the bundle's runner.

A toolchain does not run anything on a device. It says how a job is started in a bundle (``Invocation``) and
reads what came back (``JobResult``); a device in between copies files and runs a command.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from ellopt.deadline import Deadline
from ellopt.measurement import LayerCheck, PlanSamples
from ellopt.model.layers import FloatArray
from ellopt.options import ConvolutionOptions, Plan
from ellopt.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.targets import Target

if TYPE_CHECKING:
    from ellopt.model.graph import Model


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


JobKind = Literal["check", "profile", "bench", "outputs"]


@dataclass(frozen=True)
class Job:
    """Work for one visit to a device.

    * ``check``: every plan runs once on the bundle's check input; each step's output is compared with the reference,
      and the reference is what the next step reads, so that errors do not spread.
    * ``outputs``: every plan runs on each of ``inputs``, [input, row, column, channel], where the toolchain
      ``gives_outputs``; what comes back is the model's output.
    * ``profile``: ``warm_up`` untimed passes of every plan, then ``rounds`` rounds. In a round each plan has its
      turn: ``turn_warm_up`` untimed passes, with ``settle`` at least as many as its weights need to stay in the caches
      (see ``settling``), then ``turn_passes`` timed ones with the time of every node. Plans are thus interleaved
      round by round.
    * ``bench``: the same, but only whole passes are timed: no cost of profiling inside.

    ``limit_seconds``: the runner stops at the end of the round in which it passes; finished rounds count.
    ``slow_factor``: where positive, a plan whose first timed pass is slower than this times the fastest first pass
    so far takes no further part (its one sample is kept).
    ``unchecked``: plans whose first untimed pass in a turn is a check, if need be one more, where the toolchain
    ``checks_in_turns``.
    """

    kind: JobKind
    plans: tuple[Plan, ...]
    warm_up: int = 1
    rounds: int = 5
    turn_warm_up: int = 1
    turn_passes: int = 1
    settle: bool = True
    threads: int = 0  # 0: the target's cores
    limit_seconds: float = 60.0
    slow_factor: float = 0.0
    unchecked: frozenset[Plan] = frozenset()
    inputs: FloatArray | None = field(default=None, compare=False)


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


@dataclass(frozen=True)
class JobResult:
    """What a job yielded: ``samples`` in the order of the job's plans (profile, bench), ``checks`` of check jobs and of
    unchecked plans, ``outputs`` [plan, input, element] of jobs for them."""

    samples: tuple[PlanSamples, ...] = ()
    checks: tuple[LayerCheck, ...] = ()
    seconds: float = 0.0
    outputs: FloatArray | None = field(default=None, compare=False)


class Toolchain(Protocol):
    """Builds bundles and knows which options are distinct for a layer."""

    name: str
    #: how many plans one bundle can hold; None: any number
    plans_per_bundle: int | None
    #: whether plans can be checked by the untimed passes of a job that measures them
    checks_in_turns: bool

    @property
    def version(self) -> str:
        """Identifies everything that decides a bundle's speed apart from the model: generator and compiler."""

    def prepare(self, model: Model) -> Model:
        """The model in the form that this toolchain tunes (a predictor node is written out as layer nodes).

        Raises ModelFormatError for a node it cannot compute, naming the file, the node and its type.
        """

    def layers(self, model: Model) -> tuple[ConvolutionLayer, ...]:
        """The convolution layers of a prepared model in its order, with their shapes."""

    def fused_into(self, model: Model) -> Mapping[str, str]:
        """For nodes without time of their own: node id -> id of the node (mostly a convolution) that includes it."""

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, target: Target
    ) -> ConvolutionOptions | None:
        """The representative of all options that give the same code for this shape; None if not valid there."""

    def build(self, model: Model, plans: Sequence[Plan], target: Target, directory: Path, deadline: Deadline) -> Bundle:
        """Build a bundle below ``directory`` that can run all ``plans``. Raises BuildError.

        The same request for a directory that already holds the bundle returns it without compiling anything.
        """

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        """How ``job`` is started in ``bundle``. Raises ValueError if the bundle cannot run one of its plans."""

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        """Read what the runner left. Raises CandidateError if it crashed by itself, InfrastructureError if the
        results are missing, truncated or altered."""


def output_files(toolchain: Toolchain, plan: Plan) -> Mapping[str, str]:
    """Texts that a toolchain adds to the output of a model computed by ``plan``, by file name. Most add none."""
    add = getattr(toolchain, "output_files", None)
    return {} if add is None else dict(add(plan))


def gives_outputs(toolchain: Toolchain) -> bool:
    """Whether a toolchain's bundles do jobs of the kind ``outputs``."""
    return bool(getattr(toolchain, "gives_outputs", False))
