"""What a whole model should put out for inputs that it is checked with, and how far off it is.

Places of extremes (ArgMax) are judged by the values that they point at: of two elements that are nearly equal,
roundings decide which is the largest, and either is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ellopt.model import layers, reference
from ellopt.model.check_data import check_inputs, output_error
from ellopt.model.graph import Model
from ellopt.model.layers import AxisExtreme, FloatArray, IntArray, Tensor

#: Kinds that move elements and compute nothing.
_MOVING = (layers.Reinterpret, layers.Reorder, layers.Output, layers.Remap, layers.Concatenation)
#: Buffers are float32, which holds all whole numbers below.
_MOST_PLACES = 1 << 24


@dataclass(frozen=True, eq=False)
class Places:
    """The elements of a model's output that are places which ``node`` found: its ``numbers`` are the flat
    ``elements`` of the output."""

    node: AxisExtreme
    elements: IntArray
    numbers: IntArray

    def searched(self, buffers: Mapping[str, FloatArray]) -> Tensor:
        """What was searched for each of them: [element, along the axis]."""
        node = self.node
        values = node.inside([buffers[node.inputs[0]]]).reshape(node.outer, node.length, node.inner)
        return np.asarray(values.swapaxes(1, 2).reshape(-1, node.length)[self.numbers])


def places_of(model: Model) -> tuple[Places, ...]:
    """The places among the elements of the output of ``model``."""
    found = []
    for node in model.nodes:
        if not isinstance(node, AxisExtreme) or node.outer * node.inner >= _MOST_PLACES:
            continue
        numbers = _moved(model, node).astype(np.int64)
        [elements] = np.nonzero(numbers)
        if elements.size:
            found.append(Places(node, elements, numbers[elements] - 1))
    return tuple(found)


def _moved(model: Model, extreme: AxisExtreme) -> FloatArray:
    """One more than the number of the place, of ``extreme``, that an element of the output is; zero for all others."""
    count = extreme.outer * extreme.inner
    buffers = {extreme.node_id: extreme.with_border(np.arange(1, count + 1, dtype=np.float64))}
    for node in model.nodes:
        if isinstance(node, _MOVING) and any(source in buffers for source in node.inputs):
            sources = [
                buffers.get(source, np.zeros(model.by_id[source].output_layout.elements, np.float32))
                for source in node.inputs
            ]
            bare = replace(node, fill=0.0) if isinstance(node, layers.Remap) else node
            buffers[node.node_id] = replace(bare, padding_value=0.0).write(sources)
    output = model.output
    if output.node_id not in buffers:
        return np.zeros(output.output_layout.elements, np.float32)
    return output.output_layout.view(buffers[output.node_id]).reshape(-1)


@dataclass(frozen=True, eq=False)
class Wanted:
    """``inputs`` [input, row, column, channel] of ``model``, and the ``outputs`` [input, element] that the reference
    makes of them. ``searched``: of each input what each of ``places`` was found in."""

    model: Model
    inputs: FloatArray
    outputs: FloatArray
    places: tuple[Places, ...]
    searched: tuple[tuple[Tensor, ...], ...]

    @classmethod
    def of(cls, model: Model, count: int, more: Sequence[FloatArray] = ()) -> Wanted:
        """``count`` inputs as ``check_inputs`` gives them, and ``more``, each [row, column, channel]."""
        inputs, found = check_inputs(model, count)
        found += [reference.buffers(model, values) for values in more]
        inputs = np.concatenate([inputs, *(values.reshape(1, *inputs.shape[1:]) for values in more)])
        node, places = model.output, places_of(model)
        outputs = np.stack([node.output_layout.view(buffers[node.node_id]).reshape(-1) for buffers in found])
        return cls(model, inputs, outputs, places, tuple(tuple(p.searched(b) for p in places) for b in found))

    def only(self, some: Sequence[int]) -> Wanted:
        """The same of ``some`` of the inputs, by their numbers."""
        chosen = list(some)
        return replace(
            self, inputs=self.inputs[chosen], outputs=self.outputs[chosen],
            searched=tuple(self.searched[i] for i in chosen),
        )  # fmt: skip

    def error(self, found: npt.ArrayLike) -> float:
        """As ``output_error``. A place counts by how far the value that it points at is from the one that it should
        point at, relative to the largest value that was searched; infinite if there is no such place."""
        values, worst = np.array(found, np.float64).reshape(self.outputs.shape), 0.0
        for own, wanted, searched in zip(values, self.outputs, self.searched, strict=True):
            for places, along in zip(self.places, searched, strict=True):
                worst = max(worst, _error_of_places(own[places.elements], wanted[places.elements], along))
                own[places.elements] = wanted[places.elements]
        return max(worst, output_error(values, self.outputs, self.model.output_ports))


def _error_of_places(found: Tensor, wanted: FloatArray, along: Tensor) -> float:
    if not ((found >= 0) & (found < along.shape[1]) & (found == np.floor(found))).all():
        return math.inf
    rows = np.arange(len(along))
    best, value = along[rows, wanted.astype(np.int64)], along[rows, found.astype(np.int64)]
    known = np.isfinite(best)
    if not np.isfinite(value[known]).all():
        return math.inf
    largest = np.abs(along[np.isfinite(along)]).max(initial=1e-30)
    return float((np.abs(value[known] - best[known]) / largest).max(initial=0.0))
