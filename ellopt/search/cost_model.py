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

from ellopt.options import ConvolutionOptions
from ellopt.search.knowledge import Variant
from ellopt.shapes import ConvolutionShape

FloatArray = npt.NDArray[np.float64]

#: Standard deviations of the effects on the log latency.
_CONSTANT, _SHAPE_WIDE, _SHAPE = 3.0, 0.8, 0.3
_WAY, _WAY_WIDE, _WAY_SHAPE = 0.8, 0.5, 0.35
_PARALLEL, _PARALLEL_SHAPE, _PARALLEL_WAY = 0.35, 0.25, 0.2
_DEPTH, _DEPTH_SHAPE = 0.08, 0.12
#: Log2 distances at which shapes, and depths, stop being alike.
_NEAR, _WIDE, _DEPTH_LENGTH = 1.5, 4.0, 1.5
#: What ways of one method have in common.
_SAME_METHOD = 0.5
#: What a depth that is left to the generator has in common with any other.
_AUTOMATIC = 0.3
#: How often, and by how much, a variant is altogether unlike what the others let one expect.
_SURPRISE, _SURPRISE_DEVIATION = 0.05, 1.0
#: By how much, on a log scale, something else on a machine slows a pass; probabilities below the last are forgotten.
_SPOILED_MEAN, _SPOILED_DEVIATION, _LEAST_DOUBT = 0.8, 0.5, 0.001


@dataclass(frozen=True)
class Observation:
    """What a variant took. ``deviation`` is the standard deviation of the log of ``ms``; ``spoiled`` the probability,
    before one looks at ``ms``, that something slowed all of its samples."""

    ms: float
    deviation: float
    spoiled: float


@dataclass(frozen=True)
class Doubt:
    """A measured variant whose samples may all have been spoiled: with what probability, and what the others let one
    expect of it (log ms)."""

    probability: float
    mean: float
    deviation: float

    def expected_improvement(self, best_ms: float) -> float:
        gains = expected_improvement(np.array([self.mean]), np.array([self.deviation]), best_ms)
        return self.probability * float(gains[0])


@dataclass(frozen=True)
class Posterior:
    """Log latencies in ms of some variants: means and covariance."""

    variants: tuple[ConvolutionOptions, ...]
    mean: FloatArray
    covariance: FloatArray

    @property
    def deviation(self) -> FloatArray:
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 1e-12)))

    def expected_improvement(self, best_ms: float) -> FloatArray:
        """By variant, how many ms less than ``best_ms`` it is expected to take, counting slower as no loss."""
        return expected_improvement(self.mean, self.deviation, best_ms)

    def expected_best(self, best_ms: float, generator: np.random.Generator, draws: int = 256) -> float:
        """How many ms less than ``best_ms`` the best of all these variants is expected to take."""
        if not self.variants:
            return 0.0
        size = len(self.variants)
        # By eigenvalues: rounding can leave a covariance that is not quite positive definite.
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        sampled: FloatArray = self.mean + generator.standard_normal((draws, size)) @ root.T
        return float(np.mean(np.maximum(0.0, best_ms - np.exp(sampled.min(axis=1)))))

    def given(self, index: int, deviation: float) -> Posterior:
        """The doubt that remains once variant ``index`` has been measured, the means as they are."""
        column = self.covariance[:, index]
        shrunk = self.covariance - np.outer(column, column) / (self.covariance[index, index] + deviation**2)
        return Posterior(self.variants, self.mean, shrunk)


def expected_improvement(mean: FloatArray, deviation: FloatArray, best_ms: float) -> FloatArray:
    """E[max(0, best - t)] for a log-normal t (Jones, Schonlau, Welch 1998, for a positive quantity)."""
    z = (math.log(best_ms) - mean) / deviation
    return np.asarray(best_ms * _cdf(z) - np.exp(mean + deviation**2 / 2) * _cdf(z - deviation))


def _cdf(z: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1.0 + np.vectorize(math.erf, otypes=[float])(z / math.sqrt(2))))


class CostModel:
    """Fitted once to all observations; predicts any variant of any shape.

    ``doubts``: variants that the model, from all other observations, expects to be faster than they were measured.
    """

    def __init__(self, observations: Mapping[Variant, Observation]) -> None:
        known = tuple(observations)
        values = tuple(observations.values())
        self._features = _Features.of(known)
        self._target: FloatArray = np.array([math.log(o.ms) for o in values]) - self._features.log_work
        own_noise = np.array([o.deviation**2 for o in values])
        spoiled = np.array([o.spoiled for o in values])
        prior = _covariance(self._features, self._features)
        probability = np.zeros(len(values))
        for _ in range(3):
            self._inverse = np.linalg.inv(prior + np.diag(own_noise + probability * _SPOILED_MEAN**2))
            self._weights = self._inverse @ self._target
            # What all the others say of each (Rasmussen, Williams 2006, 5.4.2), without its own noise.
            variance = 1 / np.diag(self._inverse)
            residual = self._weights * variance
            variance = np.maximum(variance - probability * _SPOILED_MEAN**2, 1e-6)
            probability = _probably_spoiled(residual, variance, spoiled)
        self.doubts = {
            variant: Doubt(float(p), float(t - r + w), float(math.sqrt(v)))
            for variant, p, t, r, w, v in zip(
                known, probability, self._target, residual, self._features.log_work, variance, strict=True
            )
            if p > _LEAST_DOUBT
        }

    def predict(self, shape: ConvolutionShape, variants: Sequence[ConvolutionOptions]) -> Posterior:
        features = _Features.of([(shape, options) for options in variants])
        cross = _covariance(features, self._features)
        mean = cross @ self._weights + features.log_work
        covariance = _covariance(features, features) - cross @ self._inverse @ cross.T
        return Posterior(tuple(variants), mean, covariance)


def _probably_spoiled(residual: FloatArray, variance: FloatArray, spoiled: FloatArray) -> FloatArray:
    """How probable it is that an observation this far above what is expected was spoiled, by Bayes' rule."""

    def density(z: FloatArray, v: FloatArray) -> FloatArray:
        return np.asarray(np.exp(-(z**2) / (2 * v)) / np.sqrt(v))

    bad = spoiled * density(residual - _SPOILED_MEAN, variance + _SPOILED_DEVIATION**2)
    # The model may be wrong about a variant: then anything is possible, and many samples are believed rather than it.
    wide = density(residual, variance + _SURPRISE_DEVIATION**2)
    good = (1 - spoiled) * ((1 - _SURPRISE) * density(residual, variance) + _SURPRISE * wide)
    return np.asarray(bad / np.maximum(bad + good, 1e-300))


@dataclass(frozen=True)
class _Features:
    """Variants as numbers, one row each."""

    log_work: FloatArray
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
            shape=np.array([_shape_features(s) for s, _ in variants]).reshape(-1, 6),
            way=np.array([f"{o.method} {o.winograd_tile_size} {o.gemm_blocking}" for _, o in variants]),
            method=np.array([o.method for _, o in variants]),
            parallel=np.array([float(o.parallelize) for _, o in variants]),
            depth=np.log2(np.maximum(depths, 1.0)),
            automatic=(depths == 0).astype(float),
        )


def _shape_features(shape: ConvolutionShape) -> tuple[float, ...]:
    return (
        math.log2(shape.channels),
        math.log2(shape.filters),
        math.log2(shape.output_rows * shape.output_columns),
        2.0 * math.log2(shape.receptive_field),
        2.0 * math.log2(shape.stride),
        4.0 * shape.depthwise,
    )


def _covariance(a: _Features, b: _Features) -> FloatArray:
    distance = ((a.shape[:, None, :] - b.shape[None, :, :]) ** 2).sum(axis=2)
    near, wide = np.exp(-distance / (2 * _NEAR**2)), np.exp(-distance / (2 * _WIDE**2))
    same_way = (a.way[:, None] == b.way[None, :]).astype(float)
    same_method = (a.method[:, None] == b.method[None, :]).astype(float)
    way = _SAME_METHOD * same_method + (1 - _SAME_METHOD) * same_way
    parallel = a.parallel[:, None] * b.parallel[None, :]
    apart = (a.depth[:, None, :] - b.depth[None, :, :]) ** 2
    both_given = (1 - a.automatic)[:, None, :] * (1 - b.automatic)[None, :, :]
    both_left = a.automatic[:, None, :] * b.automatic[None, :, :]
    alike = both_left + both_given * np.exp(-apart / (2 * _DEPTH_LENGTH**2))
    depth = same_way * (_AUTOMATIC + (1 - _AUTOMATIC) * alike).prod(axis=2)
    return np.asarray(
        _CONSTANT**2
        + _SHAPE_WIDE**2 * wide
        + _SHAPE**2 * near
        + way * (_WAY**2 + _WAY_WIDE**2 * wide + _WAY_SHAPE**2 * near)
        + parallel * (_PARALLEL**2 + _PARALLEL_SHAPE**2 * near + _PARALLEL_WAY**2 * way * near)
        + depth * (_DEPTH**2 + _DEPTH_SHAPE**2 * near)
    )
