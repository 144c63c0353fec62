"""What made samples slow: the variant, or the visit, the turn and the place in the model in which it was measured.

What a sample took is explained, on a log scale, as ``variant + visit + turn + layer + noise``, all but the first being
random effects that are small: a mixed model, solved exactly by its normal equations (Henderson 1975), turns being
eliminated first as there are many. Where the system puts a process's threads can slow all that is parallel in a visit
and nothing else, and what runs beside it can slow the parallel variants of one method by half and spare those of
another; so each method has an effect of its own in a visit, sequential and parallel. What lasts for some milliseconds
slows all layers of one turn of a plan alike, and is most of the noise that a single layer sees.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.statistics import median, quantile, without_slow_outliers
from ellopt.search.evidence.constants import DEFAULTS, Constants

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Variant = tuple[ConvolutionShape, ConvolutionOptions]
#: variant (None: all that is no convolution), visit, turn (None: not known), layer
Cell = tuple[Variant | None, str, int | None, str]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Effects:
    """Logs: of each variant's milliseconds, and by how much visits (of what is sequential or parallel), methods in a
    visit, turns and layers differ from the others. ``covariance`` is that of the errors of ``variants``, in order."""

    variants: Mapping[Variant | None, float]
    covariance: FloatArray
    visits: Mapping[tuple[str, bool], float]
    methods: Mapping[tuple[str, bool, str], float]
    layers: Mapping[str, float]
    turns: Mapping[int, float]

    def disturbance(self, cell: Cell) -> float:
        """By how much what is not the variant's own made it slower, on a log scale; 0 for what is not known."""
        _, _, turn, layer = cell
        visit, method = _visit(cell), _method(cell)
        known = self.visits.get(visit, 0.0) + self.methods.get(method, 0.0) + self.layers.get(layer, 0.0)
        return known + (0.0 if turn is None else self.turns.get(turn, 0.0))


def fit_effects(cells: Mapping[Cell, Sequence[float]], constants: Constants = DEFAULTS) -> Effects:
    """The effects that explain the milliseconds in ``cells`` best."""
    c = constants
    if not cells:
        return Effects({}, np.zeros((0, 0)), {}, {}, {}, {})
    kept = [without_slow_outliers(values) for values in cells.values()]
    y: FloatArray = np.log([max(median(values), 1e-9) for values in kept])
    deviation = np.sqrt(c.cell_deviation**2 + c.sample_deviation**2 / np.array([len(values) for values in kept]))
    variants, visits = _numbered(variant for variant, _, _, _ in cells), _numbered(map(_visit, cells))
    methods, layers = _numbered(map(_method, cells)), _numbered(layer for _, _, _, layer in cells)
    # One column for each variant, visit, method in a visit, and layer; a cell is the sum of one of each.
    starts = np.cumsum([0, len(variants), len(visits), len(methods)])
    columns = starts + np.array([(variants[c[0]], visits[_visit(c)], methods[_method(c)], layers[c[3]]) for c in cells])
    method_deviation = np.array(
        [c.parallel_method_deviation if parallel else c.method_deviation for _, parallel, _ in methods]
    )
    prior = np.concatenate(
        [
            np.full(len(variants), 1e-6),
            np.full(len(visits), c.visit_deviation**-2),
            method_deviation**-2,
            np.full(len(layers), c.layer_deviation**-2),
        ]
    )
    turns = _numbered(turn for _, _, turn, _ in cells)
    turn = np.array([turns[number] for _, _, number, _ in cells])
    known = np.array([number is not None for number in turns])
    # What is not known to belong to one turn is not explained by it.
    turn_prior = np.where(known, c.turn_deviation**-2, 1e12)
    weight = _first_weights(y, columns[:, 0], deviation, c)
    for _ in range(c.reweightings):
        effects, turn_effects, inverse = _solve(y, columns, prior, turn, turn_prior, weight)
        # Few turns, and few visits of a method, are much slower, but those may be slower by any factor.
        turn_prior = np.where(known, _heavy_tailed(c.turn_deviation, turn_effects, c.huber), 1e12)
        prior[starts[2] : starts[3]] = _heavy_tailed(method_deviation, effects[starts[2] : starts[3]], c.method_huber)
        slowed = effects[columns[:, 1]] + turn_effects[turn]
        slowed = np.maximum(0.0, slowed - np.quantile(slowed, c.quiet))
        likely = np.hypot(deviation, c.unequal * slowed)
        off = (y - effects[columns].sum(axis=1) - turn_effects[turn]) / likely
        pull = np.minimum(1.0, c.huber / np.maximum(np.abs(off), 1e-9))
        weight = likely**-2 * np.where(off > 0, pull**2, pull)
    found = iter(effects.tolist())
    return Effects(
        {key: next(found) for key in variants},
        inverse[: len(variants), : len(variants)],
        {key: next(found) for key in visits},
        {key: next(found) for key in methods},
        {key: next(found) for key in layers},
        {key: float(turn_effects[i]) for key, i in turns.items() if key is not None},
    )


def _heavy_tailed(deviation: float | FloatArray, effects: FloatArray, huber: float) -> FloatArray:
    """Weights of a prior of this deviation whose tail is heavy where effects are slow."""
    usual = huber * deviation / np.maximum(effects, 1e-9)
    return np.asarray(np.minimum(1.0, usual) ** 2 / np.square(deviation))


def _visit(cell: Cell) -> tuple[str, bool]:
    variant, visit, _, _ = cell
    return visit, variant is not None and variant[1].parallelize


def _method(cell: Cell) -> tuple[str, bool, str]:
    variant = cell[0]
    return *_visit(cell), "" if variant is None else variant[1].method


def _first_weights(y: FloatArray, variant: IntArray, deviation: FloatArray, c: Constants) -> FloatArray:
    """Little for what is far from the faster half of the same variant's: what disturbs only ever adds time."""
    weight = deviation**-2
    usual = np.sqrt(deviation**2 + c.visit_deviation**2 + c.turn_deviation**2)
    for number in np.unique(variant):
        mine = variant == number
        off = np.abs(y[mine] - quantile(y[mine].tolist(), c.fast)) / usual[mine]
        weight[mine] *= np.minimum(1.0, c.huber / np.maximum(off, 1e-9)) ** 2
    return np.asarray(weight)


def _solve(
    y: FloatArray, columns: IntArray, prior: FloatArray, turn: IntArray, turn_prior: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Effects of columns and of turns, and the covariance of the first."""
    size, count = len(prior), len(turn_prior)

    def sums(index: IntArray, values: FloatArray, length: int) -> FloatArray:
        return np.asarray(np.bincount(index, values, length))

    normal = np.diag(prior)
    shared = np.zeros((count, size))
    right = np.zeros(size)
    for a in columns.T:
        right += sums(a, weight * y, size)
        shared += sums(turn * size + a, weight, count * size).reshape(count, size)
        for b in columns.T:
            normal += sums(a * size + b, weight, size * size).reshape(size, size)
    turn_normal = sums(turn, weight, count) + turn_prior
    turn_right = sums(turn, weight * y, count)
    scaled = shared / turn_normal[:, None]
    inverse: FloatArray = np.asarray(np.linalg.inv(normal - shared.T @ scaled), dtype=np.float64)
    effects = inverse @ (right - scaled.T @ turn_right)
    return effects, (turn_right - shared @ effects) / turn_normal, inverse


def _numbered(keys: Iterable[Key]) -> dict[Key, int]:
    return {key: number for number, key in enumerate(dict.fromkeys(keys))}
