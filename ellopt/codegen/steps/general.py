"""Kinds over tensors of any rank: the numbers that their C reads (runtime/ellopt_general.c)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.codegen.fuse import Group
from ellopt.codegen.network import Border, Step, Tensor, c_float
from ellopt.codegen.steps.lowering import Lowering
from ellopt.codegen.steps.pooling import PoolingStep
from ellopt.codegen.weights import WeightFile
from ellopt.model.layers import (
    OUTSIDE,
    AxisSoftmax,
    AxisWeights,
    Broadcast,
    Concatenation,
    FloatArray,
    General,
    IntArray,
    Reduction,
    Remap,
    WindowPooling,
)
from ellopt.model.loops import collapsed

#: As in C.
_OUTSIDE = -(1 << 30)
_BROADCAST_MODES = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "prelu"),
    *("equal", "greater", "less", "where"),
)
_REDUCTION_MODES = ("mean", "sum", "maximum", "minimum")


@dataclass(frozen=True)
class _Told:
    """What the step is told. ``slots``: where in ``numbers`` the tensors of the inputs are put."""

    loops: str
    numbers: Sequence[int]
    mode: int = 0
    slots: tuple[int, ...] = ()
    weights: FloatArray | None = None
    fill: float = 0.0


@dataclass(frozen=True, eq=False)
class GeneralStep(Step):
    """Loops over dense memory. ``loops`` is which of them; ``numbers`` are what their C reads, those at ``slots`` the
    places of the inputs among the network's tensors."""

    kind = "general"
    function = "ell_general"

    loops: str = field(kw_only=True)
    mode: int = field(kw_only=True)
    numbers: npt.NDArray[np.int32] = field(kw_only=True)
    slots: tuple[int, ...] = field(kw_only=True)
    weights: FloatArray | None = field(kw_only=True)
    fill: float = field(kw_only=True)

    @property
    def scales_channels(self) -> bool:
        """Whether it is a product of pixels with numbers of their channels."""
        numbers: list[int] = self.numbers.tolist()
        multiplies = self.loops == "ELL_BROADCAST" and self.mode == _BROADCAST_MODES.index("multiply")
        return multiplies and numbers[:2] == [2, 2] and numbers[7] == numbers[9] == 1

    def may_overwrite(self, name: str) -> bool:
        """A product with numbers of each channel lies where its pixels did, as each is read once."""
        if not self.scales_channels:
            return False
        channels, strides, own = self.numbers[5], self.numbers[6:].tolist(), self.inputs.index(name)
        return bool(strides[2 * own : 2 * own + 2] == [channels, 1])

    def with_tensors(self, places: Sequence[int]) -> list[int]:
        """The numbers with the places of the inputs in their slots."""
        found: list[int] = self.numbers.tolist()
        for slot, place in zip(self.slots, places, strict=False):
            found[slot] = place
        return found

    def fields(self, weights: WeightFile) -> dict[str, str | int]:
        found: dict[str, str | int] = {"mode": self.mode, "outside": c_float(self.fill), "loops": self.loops}
        return found if self.weights is None else found | {"weights": f"{weights.add(self.weights)}u"}


@dataclass(frozen=True)
class Joined:
    """An input of a concatenation: ``outer`` portions, each at ``start`` of ``whole`` elements of the output."""

    outer: int
    whole: int
    start: int


def joined(step: Step) -> tuple[Joined, ...]:
    """Of each input of a concatenation where it goes; nothing for other steps. What is moved to where it is already
    is joined with nothing."""
    if not isinstance(step, GeneralStep):
        return ()
    if step.loops == "ELL_REMAP" and (elements := _unmoved(step.numbers.tolist())):
        return (Joined(1, elements, 0),)
    if step.loops != "ELL_CONCATENATION":
        return ()
    outer, whole = step.numbers[:2].tolist()
    return tuple(Joined(outer, whole, int(step.numbers[slot + 2])) for slot in step.slots)


def without(step: Step, inputs: Collection[str]) -> GeneralStep | None:
    """The concatenation ``step`` without ``inputs``, which are written by others; None if none is left."""
    assert isinstance(step, GeneralStep)
    if step.loops != "ELL_CONCATENATION":
        return None
    kept = [(name, slot) for name, slot in zip(step.inputs, step.slots, strict=True) if name not in inputs]
    if not kept:
        return None
    numbers = [*step.numbers[:2].tolist(), len(kept)]
    for _, slot in kept:
        numbers += step.numbers[slot : slot + 3].tolist()
    return replace(
        step,
        inputs=tuple(name for name, _ in kept),
        numbers=np.asarray(numbers, np.int32),
        slots=tuple(range(3, len(numbers), 3)),
    )


def writes_pixels(step: Step, output: Tensor) -> bool:
    """Whether ``step`` writes ``output`` pixel by pixel, or moved rows of pixels: those may lie at any distance."""
    if not isinstance(step, GeneralStep):
        return False
    numbers: list[int] = step.numbers.tolist()
    if step.loops == "ELL_AXIS_WEIGHTS":
        return numbers[2] in (output.channels, output.columns * output.channels)
    if step.loops == "ELL_CONCATENATION":
        return numbers[:2] == [output.rows * output.columns, output.channels]
    if step.loops == "ELL_BROADCAST":
        return step.scales_channels and numbers[5] == output.channels
    if step.loops != "ELL_REMAP":
        return step.loops == "ELL_WINDOW_POOLING"
    count, apart, _, *around = numbers[5 * numbers[1] - 3 :][:5]
    whole = count == output.channels or all(n % output.channels == 0 for n in (count, *around))
    return whole and (apart == 1 or count == 1)


def pixel_by_pixel(step: Step, output: Tensor) -> Step:
    """``step``, for which ``writes_pixels`` holds, with an axis for the pixels of ``output`` that it moves in a row."""
    if not isinstance(step, GeneralStep) or step.loops != "ELL_REMAP":
        return step
    numbers: list[int] = step.numbers.tolist()
    axes, last = numbers[1], 5 * numbers[1] - 3
    count, apart, table, before, behind = numbers[last : last + 5]
    channels = output.channels
    if count == channels or apart != 1 or table:
        return step
    split = [count // channels, channels, 0, before // channels, behind // channels, channels, 1, 0, 0, 0]
    found = [numbers[0], axes + 1, *numbers[2:last], *split, *numbers[last + 5 :]]
    for where in range(4, last, 5):  # tables lie behind the axes
        found[where] += 5 if found[where] else 0
    return replace(step, numbers=np.asarray(found, np.int32))


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    assert isinstance(node, General)
    sources = tuple(lowering.values.read(node, k) for k in range(len(node.inputs)))
    output = lowering.values.define(node)
    if isinstance(node, WindowPooling) and _is_square(node):
        lowering.add(_square_pooling(node, sources, output))
        return
    bordered = isinstance(node, Remap) and bool(lowering.values.tensors[output].border)
    told = _remap(node, by_rows=True) if bordered else _TOLD[type(node)](node)
    lowering.add(
        GeneralStep(
            group.node_ids, node.type_name, sources, output,
            loops=f"ELL_{told.loops.upper()}", mode=told.mode, numbers=np.asarray(told.numbers, np.int32),
            slots=told.slots, weights=told.weights, fill=told.fill,
        )
    )  # fmt: skip


@dataclass
class _Axis:
    """Of ``count`` elements those ``before`` and ``behind`` are filled; element i of the others lies at
    start + i * step, or where ``table`` says."""

    count: int
    start: int
    step: int
    table: IntArray | None = None
    before: int = 0
    behind: int = 0

    @classmethod
    def of(cls, table: IntArray) -> _Axis:
        [inside] = np.nonzero(table != OUTSIDE)
        middle = table[inside[0] : inside[-1] + 1] if inside.size else table
        steps = np.diff(middle)
        if (middle == OUTSIDE).any() or (steps.size and (steps != steps[0]).any()):
            return cls(len(table), 0, 0, np.where(table == OUTSIDE, _OUTSIDE, table))
        around = (int(inside[0]), len(table) - 1 - int(inside[-1]))
        return cls(len(table), int(middle[0]), int(steps[0]) if steps.size else 0, None, *around)

    @property
    def linear(self) -> bool:
        """Whether all elements lie in equal steps."""
        return self.table is None and not self.before and not self.behind


def _unmoved(numbers: Sequence[int]) -> int:
    """How many elements a remap moves, if each of them stays where it is in dense memory; else 0."""
    first, axes = numbers[:2]
    elements = 1
    for count, *moved in reversed([numbers[2 + 5 * k : 7 + 5 * k] for k in range(axes)]):
        if count > 1 and moved != [elements, 0, 0, 0]:
            return 0
        elements *= count
    return 0 if first else elements


def _remap(node: General, by_rows: bool = False) -> _Told:
    """``by_rows``: no axis reaches from one row of the result into the next."""
    assert isinstance(node, Remap)
    axes: list[_Axis] = []
    for k, axis in enumerate(map(_Axis.of, node.tables)):
        before = axes[-1] if axes and not (by_rows and k == node.row_axis) else None
        joined = before is not None and before.linear and axis.linear
        if (
            before is not None
            and joined
            and (axis.count == 1 or before.count == 1 or before.step == axis.step * axis.count)
        ):
            step = axis.step if axis.count > 1 else before.step
            axes[-1] = _Axis(before.count * axis.count, before.start + axis.start, step)
        else:
            axes.append(axis)
    while len(axes) < 2:
        axes.insert(0, _Axis(1, 0, 0))
    numbers = [sum(axis.start for axis in axes), len(axes)]
    place = 2 + 5 * len(axes)
    tables: list[int] = []
    for axis in axes:
        where = place + len(tables) if axis.table is not None else 0
        numbers += [axis.count, axis.step, where, axis.before, axis.behind]
        tables += [] if axis.table is None else axis.table.tolist()
    return _Told("remap", numbers + tables, fill=node.fill)


def _collapsed(counts: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The same loops with as few axes as can be; at least one."""
    if counts and all(count == 1 for count in counts):
        return [1], [[own[len(counts) - 1]] for own in strides]
    return collapsed(counts, strides)


def _broadcast(node: General) -> _Told:
    assert isinstance(node, Broadcast)
    counts, strides = _collapsed(node.counts, node.strides)
    operands = len(node.inputs)
    numbers = [operands, len(counts), *(0,) * operands, *counts, *(n for own in strides for n in own)]
    return _Told("broadcast", numbers, _BROADCAST_MODES.index(node.operation), tuple(range(2, 2 + operands)))


def _reduction(node: General) -> _Told:
    assert isinstance(node, Reduction)
    kept, kept_strides = _collapsed(node.counts[: node.kept], [node.strides[: node.kept]])
    gone, gone_strides = _collapsed(node.counts[node.kept :], [node.strides[node.kept :]])
    numbers = [len(kept) + len(gone), len(kept), *kept, *gone, *kept_strides[0], *gone_strides[0]]
    return _Told("reduction", numbers, _REDUCTION_MODES.index(node.operation))


def _axis_weights(node: General) -> _Told:
    assert isinstance(node, AxisWeights)
    outputs, taps = node.indices.shape
    numbers = [node.outer, node.length, node.inner, outputs, taps, *node.indices.reshape(-1).tolist()]
    return _Told("axis_weights", numbers, weights=node.weights)


def _axis_softmax(node: General) -> _Told:
    assert isinstance(node, AxisSoftmax)
    return _Told("axis_softmax", [node.outer, node.length, node.inner, int(node.logarithm)])


def _concatenation(node: General) -> _Told:
    assert isinstance(node, Concatenation)
    numbers, start = [node.outer, sum(node.inners), len(node.inners)], 0
    for inner in node.inners:
        numbers += [0, inner, start]
        start += inner
    return _Told("concatenation", numbers, slots=tuple(range(3, len(numbers), 3)))


def _window_pooling(node: General) -> _Told:
    assert isinstance(node, WindowPooling)
    numbers = [*node.window, *node.strides, *node.dilations, *node.padding]
    numbers += [int(n) for axis in node.counted for n in axis]
    return _Told("window_pooling", numbers, ("max", "mean").index(node.function))


_TOLD: Mapping[type[Any], Callable[[General], _Told]] = {
    Remap: _remap,
    Broadcast: _broadcast,
    Reduction: _reduction,
    AxisWeights: _axis_weights,
    AxisSoftmax: _axis_softmax,
    Concatenation: _concatenation,
    WindowPooling: _window_pooling,
}


def _is_square(node: WindowPooling) -> bool:
    """Whether the plain pooling step computes it: one size, one stride, and a mean over whole windows."""
    square = node.window[0] == node.window[1] and node.strides[0] == node.strides[1] and node.dilations == (1, 1)
    whole = all((counted == size).all() for counted, size in zip(node.counted, node.window, strict=True))
    return square and (node.function == "max" or (whole and prod(node.window) > 0))


def _square_pooling(node: WindowPooling, sources: tuple[str, ...], output: str) -> PoolingStep:
    """Cells around the input are not part of a maximum; a mean is over windows that have none."""
    size, stride, (top, left) = node.window[0], node.strides[0], node.padding
    behind = [
        max(0, (n - 1) * stride + size - before - whole)
        for n, before, whole in zip(node.output_layout.size, node.padding, node.input_layouts[0].size, strict=False)
    ]
    is_max = node.function == "max"
    padding = Border(top, left, behind[0], behind[1], float("-inf") if is_max else 0.0)
    return PoolingStep(
        (node.node_id,), node.type_name, sources, output,
        pooling="max" if is_max else "mean", size=size, stride=stride, padding=padding,
    )  # fmt: skip
