"""Plans that hold what is wanted of each shape, arranged so that variants disturb each other little."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence

import numpy as np

from ellopt.core.methods import find_method
from ellopt.core.options import ConvolutionOptions, Way
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape
from ellopt.search.evidence.odds import Odds
from ellopt.space.space import ModelSpace
from ellopt.toolchains.settling import BYTES_PER_PASS

Wanted = Mapping[ConvolutionShape, Sequence[ConvolutionOptions]]


def mixed(space: ModelSpace, wanted: Wanted) -> list[Plan]:
    """The fewest plans in which everything wanted of a shape occurs, layers of equal shape taking turns.

    What is wanted of several ways to read many weights is not repeated before the next comes, the rest is.
    """
    choices: dict[str, list[ConvolutionOptions]] = {}
    groups = space.by_shape
    for shape, options in wanted.items():
        layers = groups[shape]
        rows = math.ceil(len(options) / len(layers))
        for j, layer in enumerate(layers):
            choices[layer.node_id] = [options[(t * len(layers) + j) % len(options)] for t in range(rows)]
    count = max(map(len, choices.values()))
    by_layer: dict[str, list[ConvolutionOptions]] = {}
    for layer in space.layers:
        row = choices[layer.node_id]
        by_layer[layer.node_id] = [row[t * len(row) // count] for t in range(count)] if heavy(layer.shape, row) else row
    return list(dict.fromkeys(Plan.covering(by_layer)))


def sketch(space: ModelSpace, shapes_for_simple: int) -> list[Plan]:
    """The default, then every way on every second shape that it applies to, simple ones on the smallest.

    What runs in parallel is together, and what does not: a thread that slept through the layers before is late.
    """
    plans = [space.default_plan]
    groups = space.by_shape
    shapes = sorted(groups, key=lambda shape: shape.multiply_adds)
    for parallel in (False, True):
        wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
        for i, shape in enumerate(shapes):
            ways: dict[Way, list[ConvolutionOptions]] = {}
            for o in groups[shape][0].variants:
                if o.parallelize == parallel:
                    ways.setdefault(o.way, []).append(o)
            chosen = [
                _member(members, i)
                for w, members in enumerate(ways.values())
                if (i < shapes_for_simple if not find_method(members[0].method).likely else (i + w) % 2 == 0)
            ]
            wanted[shape] = chosen or [groups[shape][0].default]
            if parallel and heavy(shape, wanted[shape]):
                wanted[shape].reverse()  # on with the weights that were read last
        plans += mixed(space, wanted)
    return list(dict.fromkeys(plans))


def race(
    space: ModelSpace,
    odds: Mapping[ConvolutionShape, Odds],
    measured: Mapping[ConvolutionShape, Container[ConvolutionOptions]],
    count: int,
    generator: np.random.Generator,
) -> list[Plan]:
    """Some ``count`` plans in which the variants of each shape have places by their odds.

    What other shapes say of a method may not hold for this one: each is tried, but for simple convolutions. Where
    a shape has many weights, variants that read the same ones follow each other: each change takes passes until
    they have settled in the caches.
    """
    wanted: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
    groups = space.by_shape
    for shape, found in odds.items():
        untried = _untried(found, measured[shape])
        seats = [*untried, *found.seats(count * len(groups[shape]) - len(untried))]
        wanted[shape] = [seats[i] for i in generator.permutation(len(seats))]
        if heavy(shape, seats):
            ways = [options.way for options in wanted[shape]]
            wanted[shape].sort(key=lambda options: ways.index(options.way))
    return mixed(space, wanted)


def apart(shape: ConvolutionShape, a: ConvolutionOptions, b: ConvolutionOptions) -> bool:
    """Whether the variants read different weights, so many that these take passes to settle in the caches."""
    return a.way != b.way and max(find_method(o.method).weight_bytes(shape, o) for o in (a, b)) >= BYTES_PER_PASS


def heavy(shape: ConvolutionShape, options: Sequence[ConvolutionOptions]) -> bool:
    """Whether any two of the variants are apart."""
    return any(apart(shape, o, options[0]) for o in options)


def _untried(found: Odds, measured: Container[ConvolutionOptions]) -> list[ConvolutionOptions]:
    """Of each method but ``simple``, parallel or not, that was not measured yet: what is expected to be the fastest."""
    kinds: dict[tuple[str, bool], list[ConvolutionOptions]] = {}
    for i in np.argsort(found.mean, kind="stable"):
        options = found.variants[i]
        if find_method(options.method).likely:
            kinds.setdefault((options.method, options.parallelize), []).append(options)
    return [members[0] for members in kinds.values() if not any(o in measured for o in members)]


def _member(members: Sequence[ConvolutionOptions], turn: int) -> ConvolutionOptions:
    """One of a way's variants: the one that leaves the depths to the generator, every other time another."""
    if len(members) > 1 and (turn % 2 or any(members[0].depths)):
        return members[(7 * turn + 3) % len(members)]
    return members[0]
