"""What models are checked with: inputs, and what the reference makes of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from threading import Lock
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ellopt.model import layers, reference
from ellopt.model.graph import Model, Port
from ellopt.model.layers import FloatArray, Tensor

_LOG = logging.getLogger(__name__)
_SEED = 20240229
#: Inputs lie between -1 and 1 times the first of these with which nothing overflows.
_SCALES = (1.0, 2.0**-7, 2.0**-20, 2.0**-60, 2.0**-100)

#: How many inputs whole models are checked with, and the largest error of the output relative to its largest value.
WHOLE_INPUTS, OUTPUT_LIMIT = 4, 1e-3

_told: set[tuple[str, int]] = set()
_telling = Lock()


def check_inputs(model: Model, count: int = 1) -> tuple[FloatArray, list[dict[str, FloatArray]]]:
    """``count`` pseudo-random inputs [input, row, column, channel], always the same, and for each the flat buffer of
    every node by node id.

    They are scaled down where the reference overflows. Where it does with every scale, that is said once, and what
    the model is at fault for.
    """
    size = model.input.output_layout.size
    values = np.random.default_rng(_SEED).uniform(-1, 1, (count, *size)).astype(np.float32)
    first: list[dict[str, FloatArray]] = []
    for scale in _SCALES:
        scaled = values * np.float32(scale)
        found = [reference.buffers(model, one) for one in scaled]
        if all(_overflowing(model, buffers) is None for buffers in found):
            return scaled, found
        first = first or found
    node = next(filter(None, (_overflowing(model, buffers) for buffers in first)))
    # A copy of the model with other options is the same model.
    key = (node.node_id, crc32(b"".join(convolution.weights.tobytes() for convolution in model.convolutions)))
    with _telling:
        known = key in _told
        _told.add(key)
    if not known:
        _LOG.warning(
            "%s: node %s (%s) computes values that are not finite from every input that was tried: the model is at "
            "fault. Where they lead, outputs are not checked.",
            model.path, node.node_id, node.type_name,
        )  # fmt: skip
    return values, first


def check_outputs(model: Model, count: int) -> tuple[FloatArray, FloatArray]:
    """``count`` inputs as ``check_inputs`` gives them, and what the model makes of each: [input, element]."""
    values, found = check_inputs(model, count)
    node = model.output
    outputs = [node.output_layout.view(buffers[node.node_id]).reshape(-1) for buffers in found]
    return values, np.stack(outputs)


def output_error(found: npt.ArrayLike, wanted: npt.ArrayLike, ports: Sequence[Port]) -> float:
    """max |found - wanted| / max |wanted| over [input, element], the worst of the inputs and of the outputs ``ports``,
    each of which is compared by its own largest value: a small one is not lost beside a large one.

    Infinite where a value is not finite that should be. Where ``wanted`` is not finite, anything is right.
    """
    expected, values = np.asarray(wanted, np.float64), np.asarray(found, np.float64)
    values = values.reshape(expected.shape)
    parts = [slice(port.offset, port.offset + port.elements) for port in ports]
    return max(_error_of_one(values[:, part], expected[:, part]) for part in parts)


def _error_of_one(values: Tensor, expected: Tensor) -> float:
    known = np.isfinite(expected)
    expected = np.where(known, expected, 0.0)
    values = np.where(known, values, 0.0)
    if not np.isfinite(values).all():
        return math.inf
    difference = np.abs(values - expected).max(axis=1)
    return float((difference / np.maximum(1e-30, np.abs(expected).max(axis=1))).max())


def _overflowing(model: Model, buffers: Mapping[str, FloatArray]) -> layers.Node | None:
    """The first node that computes a value that is not finite."""
    return next((node for node in model.nodes if not np.isfinite(buffers[node.node_id]).all()), None)
