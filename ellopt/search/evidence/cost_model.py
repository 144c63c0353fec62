"""A model of cost learned across layers: shape and options to latency, with its own doubt.

Gaussian process regression (Rasmussen, Williams 2006) of the log latency per multiply-add. The covariance is a sum of
effects, each of which may be the same everywhere or differ between unlike shapes: the shape itself, the way (method,
tile, blocking), running in parallel, and the block depths. What was learned of a way on some layers thus says what to
expect of it on others, and depths near to each other are expected to be alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.search.evidence.constants import DEFAULTS, Constants
from ellopt.search.evidence.effects import Variant

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """What a variant took. ``deviation`` is the standard deviation of the log of ``ms``, but for what observations have
    in common; ``spoiled`` the probability, before one looks at ``ms``, that something slowed all of its samples."""

    ms: float
    deviation: float
    spoiled: float


@dataclass(frozen=True)
class Posterior:
    """Log latencies in ms of some variants: means and covariance."""

    variants: tuple[ConvolutionOptions, ...]
    mean: FloatArray
    covariance: FloatArray

    @property
    def deviation(self) -> FloatArray:
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 1e-12)))

    def draw(self, generator: np.random.Generator, count: int) -> FloatArray:
        """``count`` possible worlds, one a row: the log latency of each variant."""
        # By eigenvalues: rounding can leave a covariance that is not quite positive definite.
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(self.mean + generator.standard_normal((count, len(self.variants))) @ root.T)


class CostModel:
    """Fitted once to all observations; predicts any variant of any shape, measured or not.

    ``errors``: the covariance of the observations' errors, apart from their own ``deviation``.
    """

    def __init__(
        self,
        observations: Mapping[Variant, Observation],
        errors: FloatArray | None = None,
        constants: Constants = DEFAULTS,
    ) -> None:
        self._constants = c = constants
        values = tuple(observations.values())
        self._features = _Features.of(tuple(observations))
        self._scale = 1.0
        self._inverse: FloatArray = np.zeros((0, 0))
        self._weights: FloatArray = np.zeros(0)
        if not observations:
            return
        target: FloatArray = np.array([math.log(o.ms) for o in values]) - self._features.log_work
        own_noise = np.array([o.deviation**2 for o in values])
        spoiled = np.array([o.spoiled for o in values])
        most = -math.inf
        for scale in c.scales:
            prior = _covariance(self._features, self._features, scale, c)
            if errors is not None:
                prior = prior + errors
            probability = np.zeros(len(values))
            for _ in range(3):
                noise = np.diag(own_noise + probability * c.spoiled_mean**2)
                inverse = np.asarray(np.linalg.inv(prior + noise), dtype=np.float64)
                weights = inverse @ target
                # What all the others say of each (Rasmussen, Williams 2006, 5.4.2), without its own noise.
                variance = 1 / np.diag(inverse)
                residual = weights * variance
                variance = np.maximum(variance - probability * c.spoiled_mean**2, 1e-6)
                good, bad = _densities(residual, variance, spoiled, c)
                probability = bad / (good + bad)
            likelihood = float(np.log(good + bad).sum()) - c.scale_evidence * math.log2(scale)
            if likelihood > most:
                most, self._scale, self._inverse, self._weights = likelihood, scale, inverse, weights

    def predict(self, shape: ConvolutionShape, variants: Sequence[ConvolutionOptions]) -> Posterior:
        features = _Features.of([(shape, options) for options in variants])
        cross = _covariance(features, self._features, self._scale, self._constants)
        mean = cross @ self._weights + features.log_work
        covariance = _covariance(features, features, self._scale, self._constants) - cross @ self._inverse @ cross.T
        return Posterior(tuple(variants), mean, covariance)


def _densities(
    residual: FloatArray, variance: FloatArray, spoiled: FloatArray, c: Constants
) -> tuple[FloatArray, FloatArray]:
    """How probable it is to observe something this far from what is expected: undisturbed, and spoiled."""

    def density(z: FloatArray, v: FloatArray) -> FloatArray:
        return np.asarray(np.exp(-(z**2) / (2 * v)) / np.sqrt(v))

    bad = spoiled * density(residual - c.spoiled_mean, variance + c.spoiled_deviation**2)
    # The model may be wrong about a variant: then anything is possible, and many samples are believed rather than it.
    wide = density(residual, variance + c.surprise_deviation**2)
    good = (1 - spoiled) * ((1 - c.surprise) * density(residual, variance) + c.surprise * wide)
    return np.maximum(good, 1e-300), bad


@dataclass(frozen=True)
class _Features:
    """Variants as numbers, one row each."""

    log_work: FloatArray
    variant: npt.NDArray[np.str_]
    shape: FloatArray
    way: npt.NDArray[np.str_]
    method: npt.NDArray[np.str_]
    parallel: FloatArray
    depth: FloatArray
    automatic: FloatArray

    @classmethod
    def of(cls, variants: Sequence[Variant]) -> _Features:
        depths = np.array([o.depths for _, o in variants], dtype=float).reshape(-1, 3)
        return cls(
            log_work=np.array([math.log(s.multiply_adds) for s, _ in variants]),
            variant=np.array([f"{s} {o}" for s, o in variants]),
            shape=np.array([_shape_features(s) for s, _ in variants]).reshape(-1, 6),
            way=np.array([" ".join(map(str, o.way)) for _, o in variants]),
            method=np.array([o.method for _, o in variants]),
            parallel=np.array([float(o.parallelize) for _, o in variants]),
            depth=np.log2(np.maximum(depths, 1.0)),
            automatic=(depths == 0).astype(float),
        )


def _shape_features(shape: ConvolutionShape) -> tuple[float, ...]:
    return (
        math.log2(shape.channels) - 6,
        math.log2(shape.filters) - 6,
        math.log2(shape.output_rows * shape.output_columns) - 8,
        math.log2(shape.window[0] * shape.window[1]),
        math.log2(shape.strides[0] * shape.strides[1]),
        4.0 * shape.depthwise,
    )


def _covariance(a: _Features, b: _Features, scale: float, c: Constants) -> FloatArray:
    """``scale``: of all deviations between shapes."""
    distance = ((a.shape[:, None, :] - b.shape[None, :, :]) ** 2).sum(axis=2)
    near, trend = np.exp(-distance / (2 * c.near**2)), a.shape @ b.shape.T
    same_way = (a.way[:, None] == b.way[None, :]).astype(float)
    same_method = (a.method[:, None] == b.method[None, :]).astype(float)
    way = c.same_method * same_method + (1 - c.same_method) * same_way
    parallel = a.parallel[:, None] * b.parallel[None, :]
    apart = (a.depth[:, None, :] - b.depth[None, :, :]) ** 2
    both_given = (1 - a.automatic)[:, None, :] * (1 - b.automatic)[None, :, :]
    both_left = a.automatic[:, None, :] * b.automatic[None, :, :]
    alike = both_left + both_given * np.exp(-apart / (2 * c.depth_length**2))
    depth = same_way * (c.automatic + (1 - c.automatic) * alike).prod(axis=2)
    parallel_here = c.parallel_shape_deviation**2 + c.parallel_way_deviation**2 * way
    return np.asarray(
        c.any_deviation**2
        + c.trend_deviation**2 * trend
        + way * (c.way_deviation**2 + (scale * c.way_shape_deviation) ** 2 * near)
        + parallel * (c.parallel_deviation**2 + scale**2 * parallel_here * near)
        + depth * near * (scale * c.depth_deviation) ** 2
        + (scale * c.own_deviation) ** 2 * (a.variant[:, None] == b.variant[None, :])
    )
