"""What every toolchain does: turn (model, plans, target) into a bundle, and speak with the bundle's runner.

A toolchain does not run anything on a device. It says how a job is started in a bundle (``Invocation``) and
reads what came back (``JobResult``); a device in between copies files and runs a command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.targets import Target

if TYPE_CHECKING:
    from ellopt.model.graph import Model


#: takes a file of a bundle that is being built; it may be moved when that has returned
Ahead = Callable[[Path], None]


def kept_back(file: Path) -> None:
    """Nobody wants files before the rest."""


class Toolchain(Protocol):
    """Builds bundles and knows which options are distinct for a layer."""

    name: str
    #: how many plans one bundle can hold; None: any number
    plans_per_bundle: int | None
    #: whether plans can be checked by the untimed passes of a job that measures them
    checks_in_turns: bool
    #: whether bundles do jobs of the kind ``outputs``
    gives_outputs: bool
    #: whether models may be written with options that ELL's own cannot say
    own_options: bool
    #: whether a bundle has weights of its own for every way to compute a layer: then spaces are limited by bytes
    packs_weights: bool
    #: the register tiles of the matrix multiplication that options may name, besides the default, which is ""
    gemm_blockings: tuple[str, ...]

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

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        """Build a bundle below ``directory`` that can run all ``plans``. Raises BuildError.

        The same request for a directory that already holds the bundle returns it without compiling anything. Large
        files that are whole while the rest is still being made may be given to ``ahead``.
        """

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        """How ``job`` is started in ``bundle``. Raises ValueError if the bundle cannot run one of its plans."""

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        """Read what the runner left. Raises CandidateError if it crashed by itself, InfrastructureError if the
        results are missing, truncated or altered."""

    def output_files(self, plan: Plan) -> Mapping[str, str]:
        """Texts that are added to the output of a model that is computed by ``plan``, by file name."""

    def parameters(self) -> Mapping[str, str]:
        """What was set for this toolchain beside plans, to be recorded: name -> value."""
