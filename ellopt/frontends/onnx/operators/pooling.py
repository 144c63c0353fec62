"""Pooling over windows and over everything, sums and maxima along axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from ellopt.frontends.onnx.builder import Builder, IntArray
from ellopt.frontends.onnx.fold import Operator, Shape
from ellopt.frontends.onnx.held import Held, flat, image_order, image_size, packed
from ellopt.frontends.onnx.operators.elementwise import Translator
from ellopt.frontends.onnx.operators.windows import Windows, windows
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model.layers import Reduction, WindowPooling


def max_pool(builder: Builder, operator: Operator) -> None:
    if any(operator.outputs[1:]):
        raise Refused("MaxPool with indices as a second output is not supported")
    _pool(builder, operator, "max")


def average_pool(builder: Builder, operator: Operator) -> None:
    _pool(builder, operator, "mean")


def _pool(builder: Builder, operator: Operator, function: str) -> None:
    held, shape = builder.held(operator.inputs[0]), builder.shape(operator.outputs[0])
    still = _still(operator, held.shape) if len(held.shape) > 4 else []
    if not still:
        builder.hold(operator.outputs[0], _pooled(builder, operator, function, held, shape))
        return
    # Axes along which a window is one element, as of PyTorch's LocalResponseNorm, are further channels.
    moving = [axis for axis in range(2, len(shape)) if axis not in still]
    order = (0, 1, *still, *moving)
    channels = prod(shape[axis] for axis in (1, *still))
    held = builder.reshape(builder.transpose(held, order), (shape[0], channels, *(held.shape[axis] for axis in moving)))
    pooled = _pooled(
        builder, _along(operator, [axis - 2 for axis in moving]), function, held,
        (shape[0], channels, *(shape[axis] for axis in moving)),
    )  # fmt: skip
    found = builder.reshape(pooled, tuple(shape[axis] for axis in order))
    builder.hold(operator.outputs[0], builder.transpose(found, [order.index(axis) for axis in range(len(shape))]))


def _still(operator: Operator, shape: Shape) -> list[int]:
    """The axes of a tensor along which windows are one element and nothing moves."""
    rank = len(shape) - 2
    attributes = operator.attributes
    sizes, pads = attributes["kernel_shape"], attributes.get("pads") or [0] * (2 * rank)
    strides = attributes.get("strides") or [1] * rank
    return [k + 2 for k in range(rank) if (sizes[k], strides[k], pads[k], pads[k + rank]) == (1, 1, 0, 0)]


def _along(operator: Operator, kept: Sequence[int]) -> Operator:
    """The operator with its windows along some of its dimensions in space only."""
    attributes = dict(operator.attributes)
    rank = len(attributes["kernel_shape"])
    for name in ("kernel_shape", "strides", "dilations", "pads"):
        values = attributes.get(name)
        if values:
            attributes[name] = [values[k] for k in (*kept, *(k + rank for k in kept)) if k < len(values)]
    return replace(operator, attributes=attributes)


def _pooled(builder: Builder, operator: Operator, function: str, held: Held, shape: Shape) -> Held:
    held = builder.image(held)
    at = windows(operator, held.shape[2:], tuple(operator.attributes["kernel_shape"]))
    size = image_size(shape)
    include = bool(operator.attributes.get("count_include_pad", 0))
    node = WindowPooling(
        **builder.common((held,), packed(size), main=True),
        function=function,
        window=at.size,
        strides=at.strides,
        dilations=at.dilations,
        padding=at.before,
        counted=(_counted(held, at, size, 0, include), _counted(held, at, size, 1, include)),
    )
    return builder.add(node, shape, image_order(len(shape)))


def _counted(held: Held, at: Windows, size: tuple[int, int, int], axis: int, include: bool) -> IntArray:
    """For each output the cells of its window along an axis that a mean counts."""
    n, outputs = held.layout.size[axis], size[axis]
    first = np.arange(outputs, dtype=np.int64)[:, None] * at.strides[axis] - at.before[axis]
    cells = first + np.arange(at.size[axis])[None, :] * at.dilations[axis]
    low, high = (-at.before[axis], n + at.behind[axis]) if include else (0, n)
    found: IntArray = ((cells >= low) & (cells < high)).sum(axis=1).astype(np.int64)
    if (found == 0).any():
        raise Refused("a pooling window that lies in the padding alone is not supported")
    return found


def global_pool(name: str) -> Translator:
    def translate(builder: Builder, operator: Operator) -> None:
        held = builder.held(operator.inputs[0])
        found = reduced(builder, name, held, range(2, len(held.shape)))
        builder.hold(operator.outputs[0], found)

    return translate


def reduction(name: str) -> Translator:
    """The translator of a Reduce operator: axes are an attribute or, later, an input."""

    def translate(builder: Builder, operator: Operator) -> None:
        held = builder.held(operator.inputs[0])
        axes = reduced_axes(builder, operator, len(held.shape))
        found = reduced(builder, name, held, axes, main=True) if axes else held
        builder.hold(operator.outputs[0], builder.reshape(found, builder.shape(operator.outputs[0])))

    return translate


def reduced_axes(builder: Builder, operator: Operator, rank: int) -> list[int]:
    """The axes of a Reduce operator; none where it is told to do nothing."""
    axes = operator.attributes.get("axes")
    if axes is None and len(operator.inputs) > 1 and operator.inputs[1]:
        axes = builder.integers(operator.inputs[1], "axes of a sum")
    if not axes:
        return [] if operator.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return [axis % rank for axis in axes]


def reduced(builder: Builder, name: str, held: Held, axes: Sequence[int], main: bool = False) -> Held:
    """``held`` with one element along ``axes``: their mean, sum, maximum or minimum."""
    gone = set(axes)
    kept = [axis for axis in held.order if axis not in gone]
    order = [*kept, *(axis for axis in held.order if axis in gone)]
    shape: Shape = tuple(1 if axis in gone else n for axis, n in enumerate(held.shape))
    layout = builder.layout_for(held, shape)
    if layout.size[2] != prod(shape) and held.layout.size == (1, 1, held.elements):
        layout = flat(prod(shape))
    node = Reduction(
        **builder.common((held,), layout, main=main),
        operation=name,
        counts=tuple(held.shape[axis] for axis in order) or (1,),
        strides=tuple(held.strides[axis] for axis in order) or (1,),
        kept=len(kept),
    )
    return builder.add(node, shape, held.order)
