"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers.base import FloatArray, Node, Tensor
from ellopt.model.layers.functions import FUNCTIONS

#: Units in which exp and tanh, and what is made of them, may be off.
FUNCTION_UNITS = 16.0


def _sigmoid(x: Tensor) -> Tensor:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


#: Functions of one number.
ACTIVATION_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}
#: Functions that do more than round what they are given.
_INEXACT = ("sigmoid", "tanh")


@dataclass(frozen=True, eq=False)
class Activation(Node):
    """``function``: leaky_relu, parametric_relu, one of ``ACTIVATION_FUNCTIONS``, or one of ``FUNCTIONS``, whose two
    numbers are ``leaky_factor`` and ``beta``."""

    function: str = field(kw_only=True)
    leaky_factor: float = field(kw_only=True, default=0.0)
    beta: float = field(kw_only=True, default=0.0)
    alpha: FloatArray | None = field(kw_only=True, default=None)  # parametric: [row, column, channel] of the size

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        x = self.inside(buffers)
        if self.function == "leaky_relu":
            return np.where(x > 0, x, x * self.leaky_factor)
        if self.function == "parametric_relu":
            assert self.alpha is not None
            return np.where(x > 0, x, x * self.alpha)
        if self.function in FUNCTIONS:
            return FUNCTIONS[self.function].compute(x, self.leaky_factor, self.beta)
        return ACTIVATION_FUNCTIONS[self.function](x)

    def behind(self, magnitude: Tensor, other: Tensor | None) -> tuple[Tensor, int]:
        return magnitude * self._steepest(), 0

    def own_error(self, result: Tensor) -> Tensor | float:
        own = FUNCTIONS.get(self.function)
        inexact = self.function in _INEXACT if own is None else not own.exact
        return FUNCTION_UNITS * np.abs(result) if inexact else 0.0

    def _steepest(self) -> Tensor | float:
        """The largest slope of the function; of those that are not computed behind what rounds it is no matter."""
        if self.function in FUNCTIONS:
            slope = FUNCTIONS[self.function].slope
            return 0.0 if slope is None else slope * max(1.0, abs(self.leaky_factor) * (self.function != "clip"))
        if self.function == "leaky_relu":
            return max(1.0, abs(self.leaky_factor))
        if self.function == "parametric_relu" and self.alpha is not None:
            return np.maximum(1.0, np.abs(self.alpha.astype(np.float64)))
        return 1.0
