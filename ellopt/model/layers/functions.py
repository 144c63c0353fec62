"""Functions of one number that activations and other elementwise nodes compute, beyond those that ELL has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Function:
    """``compute`` takes the values and the function's two numbers. ``slope``: no smaller than its steepest for usual
    numbers, by which an error of its argument grows at most; None if there is none: then it is not fused behind what
    rounds. ``exact``: it rounds no more than a sum does."""

    compute: Callable[[Tensor, float, float], Tensor]
    slope: float | None
    exact: bool = False


def _erf(x: Tensor) -> Tensor:
    from scipy.special import erf  # takes a third of a second to import; few networks need it

    found: Tensor = erf(x)
    return found


def _sigmoid(x: Tensor) -> Tensor:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(x: Tensor) -> Tensor:
    result: Tensor = np.logaddexp(0.0, x)
    return result


def _gelu(x: Tensor) -> Tensor:
    found: Tensor = 0.5 * x * (1 + _erf(x / np.sqrt(2.0)))
    return found


def _gelu_tanh(x: Tensor) -> Tensor:
    found: Tensor = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return found


FUNCTIONS: Mapping[str, Function] = {
    "clip": Function(lambda x, low, high: np.minimum(np.maximum(x, low), high), 1.0, exact=True),
    "linear_sigmoid": Function(lambda x, a, b: np.clip(a * x + b, 0, 1), 1.0),
    "hard_swish": Function(lambda x, a, b: x * np.clip(a * x + b, 0, 1), 2.0),
    "elu": Function(lambda x, a, b: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))), 4.0),
    "swish": Function(lambda x, a, b: x * _sigmoid(x), 1.5),
    "softplus": Function(lambda x, a, b: _softplus(x), 1.0),
    "mish": Function(lambda x, a, b: x * np.tanh(_softplus(x)), 1.5),
    "gelu": Function(lambda x, a, b: _gelu(x), 1.5),
    "gelu_tanh": Function(lambda x, a, b: _gelu_tanh(x), 1.5),
    "absolute": Function(lambda x, a, b: np.abs(x), 1.0, exact=True),
    "erf": Function(lambda x, a, b: _erf(x), 1.5),
    "exponential": Function(lambda x, a, b: np.exp(x), None),
    "logarithm": Function(lambda x, a, b: np.log(x), None),
    "square_root": Function(lambda x, a, b: np.sqrt(x), None),
    "reciprocal": Function(lambda x, a, b: 1 / x, None),
    "sine": Function(lambda x, a, b: np.sin(x), 1.0),
    "cosine": Function(lambda x, a, b: np.cos(x), 1.0),
    "sign": Function(lambda x, a, b: np.sign(x), None, exact=True),
    "power": Function(lambda x, a, b: np.power(x, a), None),
}
