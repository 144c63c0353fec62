"""What a plan makes of several inputs: how far off that is, and whether it decides as the reference does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ellopt.core.options import FLOAT16, FLOAT32
from ellopt.core.plan import Plan
from ellopt.model.check_data import OUTPUT_LIMIT, WHOLE_INPUTS
from ellopt.model.layers import FloatArray
from ellopt.model.wanted import Wanted

#: How many times as far off as in float32 the output may be where layers are computed in float16: 2 % of its largest
#: value. A layer's factors are off by 0.05 % each, with either sign, and a network passes on what its layers lose.
HALF_ALLOWANCE = 20.0


@dataclass(frozen=True)
class Accuracy:
    """Errors are relative to the output's largest value. ``layers`` of the model are computed in float16.

    ``error``: the largest for ``inputs`` pseudo-random inputs, ``sample_error`` for the user's ``samples``, of which
    ``same_top`` have their largest output at the place where the reference has it. ``allowed``: the largest error with
    which the plan is taken, unless the model amplifies rounding errors.
    """

    layers: int
    allowed: float
    inputs: int
    error: float
    samples: int = 0
    sample_error: float = 0.0
    same_top: int = 0

    @property
    def precision(self) -> str:
        return FLOAT16 if self.layers else FLOAT32


def allowance(plan: Plan) -> float:
    """How many times as far off as one in float32 ``plan`` may be."""
    return HALF_ALLOWANCE if _half_layers(plan) else 1.0


def accuracy(plan: Plan, wanted: Wanted, outputs: FloatArray) -> Accuracy:
    """How accurate ``outputs`` [input, element] of ``plan`` are: the first WHOLE_INPUTS of the inputs in ``wanted`` are
    pseudo-random, the others samples."""
    found = np.asarray(outputs, np.float64).reshape(wanted.outputs.shape)
    count = min(WHOLE_INPUTS, len(found))
    samples = range(count, len(found))
    return Accuracy(
        layers=_half_layers(plan),
        allowed=OUTPUT_LIMIT * allowance(plan),
        inputs=count,
        error=wanted.only(range(count)).error(found[:count]),
        samples=len(samples),
        sample_error=wanted.only(samples).error(found[count:]) if samples else 0.0,
        same_top=sum(_top(wanted, found[i]) == _top(wanted, wanted.outputs[i]) for i in samples),
    )


def _half_layers(plan: Plan) -> int:
    return sum(options.precision == FLOAT16 for _, options in plan.items())


def _top(wanted: Wanted, output: FloatArray | Sequence[float]) -> int:
    """The place of the largest element of the first output."""
    port = wanted.model.output_ports[0]
    return int(np.argmax(output[port.offset : port.offset + port.elements]))
