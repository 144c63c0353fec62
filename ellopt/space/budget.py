"""Keeps a search's temporary files small: variants whose weights need too much room are left out."""

from __future__ import annotations

import logging
from dataclasses import replace

from ellopt.core.methods import find_method
from ellopt.core.options import Way
from ellopt.core.shapes import ConvolutionShape
from ellopt.space.space import LayerSpace, ModelSpace

_LOG = logging.getLogger(__name__)

#: Bytes that the weights of all variants may take together; objects, references and records need far less.
WEIGHT_BYTES = 700 * 1024 * 1024


def within_bytes(space: ModelSpace, limit: int = WEIGHT_BYTES) -> ModelSpace:
    """``space`` without the ways that need the most room, until all weights fit in ``limit`` bytes.

    The largest go first: winograd with large tiles on layers with many weights, which are bound by memory, so that
    reading more of it seldom wins. ELL's default always stays.
    """
    groups = space.by_shape
    # Variants of one way share the weights that they read.
    sizes = {
        (shape, options.way): find_method(options.method).weight_bytes(shape, options) * len(layers)
        for shape, layers in groups.items()
        for options in {*layers[0].variants, layers[0].default}
    }
    kept = {(shape, layers[0].default.way) for shape, layers in groups.items()}
    removable = sorted(sizes.keys() - kept, key=lambda key: (sizes[key], key[1]))
    total = sum(sizes.values())
    left_out: set[tuple[ConvolutionShape, Way]] = set()
    while total > limit and removable:
        key = removable.pop()
        left_out.add(key)
        total -= sizes[key]
    if not left_out:
        return space
    layers = tuple(_without(layer, left_out) for layer in space.layers)
    distinct = sum(len(layer.variants) for layer in layers)
    _LOG.warning(
        "%d of %d variants are left out: with them temporary files would exceed a gigabyte",
        space.distinct - distinct,
        space.distinct,
    )
    return replace(space, layers=layers, distinct=distinct)


def _without(layer: LayerSpace, left_out: set[tuple[ConvolutionShape, Way]]) -> LayerSpace:
    variants = tuple(o for o in layer.variants if (layer.shape, o.way) not in left_out)
    return LayerSpace(layer.layer, variants or (layer.default,), layer.default)
