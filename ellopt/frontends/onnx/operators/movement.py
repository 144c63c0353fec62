"""Operators that only move values: shapes, transpositions, slices, padding, joining."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ellopt.frontends.onnx.builder import Builder, IntArray
from ellopt.frontends.onnx.fold import Operator
from ellopt.frontends.onnx.held import Held, flat, is_image
from ellopt.frontends.onnx.operators.windows import text
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model.layers import OUTSIDE, Concatenation


def reshape(builder: Builder, operator: Operator) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze: the shape of the result is known."""
    name = operator.outputs[0]
    builder.hold(name, builder.reshape(builder.held(operator.inputs[0]), builder.shape(name)))


def transpose(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    axes = operator.attributes.get("perm") or tuple(reversed(range(len(held.shape))))
    builder.hold(operator.outputs[0], builder.transpose(held, axes))


def concat(builder: Builder, operator: Operator) -> None:
    helds = [builder.held(name) for name in operator.inputs]
    shape = builder.shape(operator.outputs[0])
    axis = operator.attributes["axis"] % len(shape)
    leader = max(helds, key=lambda held: held.elements)
    layout = builder.layout_for(leader, shape)
    order = leader.order
    helds = [builder.arranged(held, order) for held in helds]
    place = order.index(axis)
    outer = int(np.prod([shape[a] for a in order[:place]], dtype=np.int64))
    node = Concatenation(
        **builder.common(helds, layout, main=True),
        outer=outer,
        inners=tuple(held.elements // outer for held in helds),
    )
    builder.hold(operator.outputs[0], builder.add(node, shape, order))


def joined_flat(builder: Builder, helds: list[Held]) -> Held:
    """The tensors one after another."""
    elements = sum(held.elements for held in helds)
    node = Concatenation(
        **builder.common(helds, flat(elements), kind="Outputs"), outer=1, inners=tuple(held.elements for held in helds)
    )
    return builder.add(node, (elements,), (0,))


def split(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    axis = operator.attributes.get("axis", 0) % len(held.shape)
    names = operator.outputs
    if "split" in operator.attributes:
        counts = list(operator.attributes["split"])
    elif len(operator.inputs) > 1 and operator.inputs[1]:
        counts = builder.integers(operator.inputs[1], "sizes of Split")
    else:
        each = -(-held.shape[axis] // len(names))
        counts = [min(each, held.shape[axis] - k * each) for k in range(len(names))]
    start = 0
    for k, name in enumerate(names):
        count = counts[k]
        if name:
            builder.hold(name, builder.select(held, {axis: np.arange(start, start + count, dtype=np.int64)}))
        start += count


def slice_(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    attributes = operator.attributes
    if "starts" in attributes:
        starts, ends = list(attributes["starts"]), list(attributes["ends"])
        axes, steps = list(attributes.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        names = [*operator.inputs[1:], "", "", ""][:4]
        starts, ends = (builder.integers(name, "bounds of Slice") for name in names[:2])
        axes = builder.integers(names[2], "axes of Slice") if names[2] else list(range(len(starts)))
        steps = builder.integers(names[3], "steps of Slice") if names[3] else [1] * len(starts)
    chosen: dict[int, IntArray] = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        n = held.shape[axis]
        chosen[axis % len(held.shape)] = _sliced(n, start, end, step)
    if any(len(numbers) == 0 for numbers in chosen.values()):
        raise Refused("tensors without elements are not supported")
    builder.hold(operator.outputs[0], builder.select(held, chosen))


def _sliced(count: int, start: int, end: int, step: int) -> IntArray:
    """As NumPy slices, but for an end that is far below zero with a negative step: that is the very beginning."""
    start = start + count if start < 0 else start
    end = end + count if end < 0 else end
    low, high = (0, count) if step > 0 else (-1, count - 1)
    return np.arange(min(max(start, 0), high), min(max(end, low), count), step, dtype=np.int64)


def gather(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    axis = operator.attributes.get("axis", 0) % len(held.shape)
    values = builder.constant(operator.inputs[1])
    if values is None:
        raise Refused("Gather with indices that are computed is not supported, only constant ones")
    count = held.shape[axis]
    numbers = np.asarray(values, np.int64).reshape(-1)
    if numbers.size == 0 or (numbers < -count).any() or (numbers >= count).any():
        raise Refused(f"Gather with indices beyond the {count} elements of the axis")
    found = builder.select(held, {axis: numbers % count})
    builder.hold(operator.outputs[0], builder.reshape(found, builder.shape(operator.outputs[0])))


def expand(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    shape = builder.shape(operator.outputs[0])
    held = builder.reshape(held, (1,) * (len(shape) - len(held.shape)) + held.shape)
    chosen = {a: np.zeros(n, np.int64) for a, n in enumerate(shape) if n != held.shape[a]}
    builder.hold(operator.outputs[0], builder.select(held, chosen))


def tile(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    shape = builder.shape(operator.outputs[0])
    chosen = {a: np.arange(n, dtype=np.int64) % held.shape[a] for a, n in enumerate(shape) if n != held.shape[a]}
    builder.hold(operator.outputs[0], builder.select(held, chosen))


def pad(builder: Builder, operator: Operator) -> None:
    name = operator.inputs[0]
    rank = len(builder.shape(name))
    attributes = operator.attributes
    mode = text(attributes.get("mode", b"constant"))
    fill = float(attributes.get("value", 0.0))
    if "pads" in attributes:
        pads, axes = list(attributes["pads"]), list(range(rank))
    else:
        pads = builder.integers(operator.inputs[1], "widths of Pad")
        axes = list(range(rank))
        if len(operator.inputs) > 3 and operator.inputs[3]:
            axes = [axis % rank for axis in builder.integers(operator.inputs[3], "axes of Pad")]
        if len(operator.inputs) > 2 and operator.inputs[2]:
            fill = float(builder.floats(operator.inputs[2], "values of Pad").reshape(-1)[0])
    around = {axis: (pads[k], pads[k + len(axes)]) for k, axis in enumerate(axes)}
    around = {axis: pair for axis, pair in around.items() if pair != (0, 0)}
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise Refused(f"Pad with mode {mode} is not supported")
    if mode == "constant" and fill == 0 and _is_border(builder, name, around):
        rows = around.get(2, (0, 0)) if rank == 4 else (0, 0)
        columns = around.get(rank - 1, (0, 0))
        builder.padded[operator.outputs[0]] = (name, (rows[0], columns[0], rows[1], columns[1]))
        return
    held = builder.held(name)
    chosen = {axis: _padded(held.shape[axis], pair, mode) for axis, pair in around.items()}
    builder.hold(operator.outputs[0], builder.select(held, chosen, fill))


def _is_border(builder: Builder, name: str, around: Mapping[int, tuple[int, int]]) -> bool:
    """Whether zeros are added around an image, so that a convolution behind can take them as its padding."""
    space = range(2, len(builder.shape(name)))
    outward = all(axis in space and min(pair) >= 0 for axis, pair in around.items())
    return outward and is_image(builder.shape(name)) and name not in builder.padded


def _padded(count: int, pair: tuple[int, int], mode: str) -> IntArray:
    """Which element is where, along an axis; widths may be negative."""
    places = np.arange(-pair[0], count + pair[1], dtype=np.int64)
    if places.size == 0:
        raise Refused("tensors without elements are not supported")
    if mode == "edge":
        return np.clip(places, 0, count - 1)
    if mode == "wrap":
        return places % count
    if mode == "reflect":
        period = max(1, 2 * (count - 1))
        folded = places % period
        return np.where(folded < count, folded, period - folded)
    return np.where((places >= 0) & (places < count), places, OUTSIDE)


def depth_to_space(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    n, channels, rows, columns = held.shape
    block = int(operator.attributes["blocksize"])
    deep = channels // block**2
    if text(operator.attributes.get("mode", b"DCR")) == "DCR":
        held = builder.reshape(held, (n, block, block, deep, rows, columns))
        held = builder.transpose(held, (0, 3, 4, 1, 5, 2))
    else:
        held = builder.reshape(held, (n, deep, block, block, rows, columns))
        held = builder.transpose(held, (0, 1, 4, 2, 5, 3))
    builder.hold(operator.outputs[0], builder.reshape(held, (n, deep, rows * block, columns * block)))


def space_to_depth(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    n, channels, rows, columns = held.shape
    block = int(operator.attributes["blocksize"])
    held = builder.reshape(held, (n, channels, rows // block, block, columns // block, block))
    deep_first = text(operator.attributes.get("mode", b"DCR")) == "DCR"
    held = builder.transpose(held, (0, 3, 5, 1, 2, 4) if deep_first else (0, 1, 3, 5, 2, 4))
    builder.hold(operator.outputs[0], builder.reshape(held, builder.shape(operator.outputs[0])))
