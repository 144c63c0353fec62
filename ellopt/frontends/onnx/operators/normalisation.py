"""Normalisation, softmax and interpolation."""

from __future__ import annotations

from math import prod

import numpy as np

from ellopt.frontends.onnx.builder import Builder
from ellopt.frontends.onnx.fold import Operator
from ellopt.frontends.onnx.held import Held, identity
from ellopt.frontends.onnx.operators.elementwise import combined, function, scalar
from ellopt.frontends.onnx.operators.pooling import reduced
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import AxisSoftmax, AxisWeights, FloatArray


def batch_normalization(builder: Builder, operator: Operator) -> None:
    if operator.attributes.get("training_mode") or any(operator.outputs[1:]):
        raise Refused("BatchNormalization that trains is not supported; export the model for inference")
    scale, bias, mean, variance = (
        builder.floats(name, "statistics of BatchNormalization").astype(np.float64) for name in operator.inputs[1:5]
    )
    spread = variance + operator.attributes.get("epsilon", 1e-5)
    if not (spread > 0).all():
        raise Refused("BatchNormalization with a variance below zero gives NaN; train or export the model again")
    factor = scale / np.sqrt(spread)
    shift = bias - mean * factor
    held = builder.held(operator.inputs[0])
    if held.layout.size[2] == len(factor) and held.shape[1] == len(factor) and held.order[-1] == 1:
        node = layers.BatchNormalization(
            **builder.common((held,), held.layout, main=True),
            multiplication=factor.astype(np.float32),
            addition=shift.astype(np.float32),
        )
        builder.hold(operator.outputs[0], builder.like(node, held))
        return
    builder.hold(operator.outputs[0], per_channel(builder, held, factor, shift))


def per_channel(builder: Builder, held: Held, factor: FloatArray, shift: FloatArray) -> Held:
    """Each channel, which is the second axis of the file's tensor, times its factor, and its shift added."""
    shape = (-1, *(1,) * (len(held.shape) - 2))
    found = combined(builder, "multiply", held, factor.astype(np.float32).reshape(shape), held.shape)
    return combined(builder, "add", found, shift.astype(np.float32).reshape(shape), held.shape)


def instance_normalization(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    scale, bias = (builder.floats(name, "numbers of InstanceNormalization") for name in operator.inputs[1:3])
    found, _, _ = standardised(builder, held, range(2, len(held.shape)), operator.attributes.get("epsilon", 1e-5))
    builder.hold(operator.outputs[0], per_channel(builder, found, scale, bias))


def layer_normalization(builder: Builder, operator: Operator) -> None:
    """Further outputs are the mean and what the difference from it is multiplied with."""
    held = builder.held(operator.inputs[0])
    axis = operator.attributes.get("axis", -1) % len(held.shape)
    found, mean, deviation = standardised(
        builder, held, range(axis, len(held.shape)), operator.attributes.get("epsilon", 1e-5)
    )
    found = combined(builder, "multiply", found, builder.floats(operator.inputs[1], "scales"), held.shape)
    if len(operator.inputs) > 2 and operator.inputs[2]:
        found = combined(builder, "add", found, builder.floats(operator.inputs[2], "biases"), held.shape)
    if operator.outputs[0]:
        builder.hold(operator.outputs[0], found)
    if any(operator.outputs[1:2]):
        builder.hold(operator.outputs[1], mean)
    if any(operator.outputs[2:3]):
        builder.hold(operator.outputs[2], function(builder, deviation, "reciprocal", main=False))


def standardised(builder: Builder, held: Held, axes: range, epsilon: float) -> tuple[Held, Held, Held]:
    """(x - mean) / sqrt(variance + epsilon) over ``axes``; the mean; the square root."""
    mean = reduced(builder, "mean", held, axes)
    centred = combined(builder, "subtract", held, mean, held.shape)
    variance = reduced(builder, "mean", combined(builder, "multiply", centred, centred, held.shape), axes)
    variance = combined(builder, "add", variance, scalar(epsilon), variance.shape)
    deviation = function(builder, variance, "square_root", main=False)
    return combined(builder, "divide", centred, deviation, held.shape), mean, deviation


def local_response(builder: Builder, operator: Operator) -> None:
    """x / (bias + alpha / size * sum of squares of neighbouring channels) ** beta."""
    held = builder.held(operator.inputs[0])
    attributes = operator.attributes
    size, channels = int(attributes["size"]), held.shape[1]
    low = (size - 1) // 2
    taps = np.arange(channels)[:, None] - low + np.arange(size)[None, :]
    inside = (taps >= 0) & (taps < channels)
    weights = np.where(inside, attributes.get("alpha", 1e-4) / size, 0.0).astype(np.float32)
    squares = combined(builder, "multiply", held, held, held.shape)
    sums = weighted(builder, squares, 1, np.clip(taps, 0, channels - 1), weights)
    based = combined(builder, "add", sums, scalar(attributes.get("bias", 1.0)), held.shape)
    divisor = function(builder, based, "power", float(attributes.get("beta", 0.75)), main=False)
    builder.hold(operator.outputs[0], combined(builder, "divide", held, divisor, held.shape))


def weighted(
    builder: Builder, held: Held, axis: int, indices: np.typing.NDArray[np.int64], weights: FloatArray
) -> Held:
    """Along ``axis``, element i is the sum over t of weights[i, t] times element indices[i, t]."""
    place = held.order.index(axis)
    shape = tuple(len(indices) if a == axis else n for a, n in enumerate(held.shape))
    node = AxisWeights(
        **builder.common((held,), builder.layout_for(held, shape)),
        outer=prod(held.shape[a] for a in held.order[:place]),
        length=held.shape[axis],
        inner=prod(held.shape[a] for a in held.order[place + 1 :]),
        indices=np.ascontiguousarray(indices, np.int64),
        weights=np.ascontiguousarray(weights, np.float32),
    )
    return builder.add(node, shape, held.order)


def softmax(builder: Builder, operator: Operator) -> None:
    """Before version 13 over all axes from ``axis`` on, together."""
    held = builder.held(operator.inputs[0])
    rank = len(held.shape)
    together = builder.graph.file.opset < 13
    axis = operator.attributes.get("axis", 1 if together else -1) % max(rank, 1)
    axes = {a for a in (range(axis, rank) if together else (axis,)) if held.shape[a] != 1}
    logarithm = operator.kind == "LogSoftmax"
    order = [a for a in held.order if held.shape[a] != 1]
    places = [order.index(a) for a in order if a in axes]
    if places and places[-1] - places[0] + 1 != len(places):
        held = builder.arranged(held, identity(held.shape))
        order = [a for a in held.order if held.shape[a] != 1]
        places = [order.index(a) for a in order if a in axes]
    length = prod(held.shape[a] for a in axes)
    outer = prod(held.shape[a] for a in order[: places[0]]) if places else held.elements
    inner = held.elements // (outer * length)
    common = builder.common((held,), held.layout, main=True)
    if outer == inner == 1 and not logarithm:
        builder.hold(operator.outputs[0], builder.like(layers.Softmax(**common), held))
        return
    node = AxisSoftmax(**common, outer=outer, length=length, inner=inner, logarithm=logarithm)
    builder.hold(operator.outputs[0], builder.like(node, held))
