"""Operators that are a few of the others: norms, functions with a threshold, comparisons and logic."""

from __future__ import annotations

from math import prod

import numpy as np

from ellopt.frontends.onnx.builder import Builder
from ellopt.frontends.onnx.fold import Operator
from ellopt.frontends.onnx.held import Held
from ellopt.frontends.onnx.operators.elementwise import Translator, broadcast, combined, function, of_inputs, scalar
from ellopt.frontends.onnx.operators.normalisation import per_channel, standardised
from ellopt.frontends.onnx.operators.pooling import reduced, reduced_axes
from ellopt.frontends.onnx.refusals import Refused


def selu(builder: Builder, operator: Operator) -> None:
    """gamma times elu(x)."""
    alpha = operator.attributes.get("alpha", 1.6732632423543772)
    found = function(builder, builder.held(operator.inputs[0]), "elu", float(np.float32(alpha)))
    gamma = scalar(operator.attributes.get("gamma", 1.0507009873554805))
    builder.hold(operator.outputs[0], combined(builder, "multiply", found, gamma, found.shape))


def celu(builder: Builder, operator: Operator) -> None:
    """alpha times elu(x / alpha)."""
    alpha = scalar(operator.attributes.get("alpha", 1.0))
    held = builder.held(operator.inputs[0])
    inner = combined(builder, "divide", held, alpha, held.shape)
    found = function(builder, inner, "elu", 1.0)
    builder.hold(operator.outputs[0], combined(builder, "multiply", found, alpha, held.shape))


def thresholded_relu(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    above = combined(builder, "greater", held, scalar(operator.attributes.get("alpha", 1.0)), held.shape)
    builder.hold(operator.outputs[0], broadcast(builder, "where", [above, held, scalar(0)], held.shape))


def softsign(builder: Builder, operator: Operator) -> None:
    """x / (1 + |x|)."""
    held = builder.held(operator.inputs[0])
    size = function(builder, held, "absolute", main=False)
    divisor = combined(builder, "add", size, scalar(1), held.shape)
    builder.hold(operator.outputs[0], combined(builder, "divide", held, divisor, held.shape))


def swish(builder: Builder, operator: Operator) -> None:
    """x * sigmoid(alpha * x)."""
    held = builder.held(operator.inputs[0])
    alpha = operator.attributes.get("alpha", 1.0)
    if alpha == 1.0:
        builder.hold(operator.outputs[0], function(builder, held, "swish"))
        return
    gate = function(builder, combined(builder, "multiply", held, scalar(alpha), held.shape), "sigmoid", main=False)
    builder.hold(operator.outputs[0], combined(builder, "multiply", held, gate, held.shape))


def at_least(comparison: str) -> Translator:
    """The translator of GreaterOrEqual or LessOrEqual: ``comparison``, or equal."""

    def translate(builder: Builder, operator: Operator) -> None:
        shape = builder.shape(operator.outputs[0])
        strict = of_inputs(builder, operator, comparison)
        equal = of_inputs(builder, operator, "equal")
        builder.hold(operator.outputs[0], combined(builder, "maximum", strict, equal, shape))

    return translate


def negation(builder: Builder, operator: Operator) -> None:
    """Truth is 1, and all else 0."""
    held = builder.held(operator.inputs[0])
    builder.hold(operator.outputs[0], combined(builder, "equal", held, scalar(0), held.shape))


def different(builder: Builder, operator: Operator) -> None:
    equal = of_inputs(builder, operator, "equal")
    builder.hold(operator.outputs[0], combined(builder, "equal", equal, scalar(0), equal.shape))


def norm(kind: str) -> Translator:
    """The translator of ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum or ReduceLogSumExp."""

    def translate(builder: Builder, operator: Operator) -> None:
        held = builder.held(operator.inputs[0])
        axes = reduced_axes(builder, operator, len(held.shape))
        found = _summed(builder, kind, held, axes)
        builder.hold(operator.outputs[0], builder.reshape(found, builder.shape(operator.outputs[0])))

    return translate


def _summed(builder: Builder, kind: str, held: Held, axes: list[int]) -> Held:
    if kind == "ReduceL1":
        return reduced(builder, "sum", function(builder, held, "absolute", main=False), axes, main=True)
    if kind in ("ReduceL2", "ReduceSumSquare"):
        total = reduced(builder, "sum", combined(builder, "multiply", held, held, held.shape), axes, main=True)
        return total if kind == "ReduceSumSquare" else function(builder, total, "square_root", main=False)
    if kind == "ReduceLogSum":
        return function(builder, reduced(builder, "sum", held, axes, main=True), "logarithm", main=False)
    # The largest is taken off first: no exponential is infinite.
    largest = reduced(builder, "maximum", held, axes)
    powers = function(builder, combined(builder, "subtract", held, largest, held.shape), "exponential", main=False)
    total = function(builder, reduced(builder, "sum", powers, axes, main=True), "logarithm", main=False)
    return combined(builder, "add", total, largest, total.shape)


def lp_normalization(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    kind = "ReduceL1" if operator.attributes.get("p", 2) == 1 else "ReduceL2"
    divisor = _summed(builder, kind, held, [operator.attributes.get("axis", -1) % len(held.shape)])
    # What is zero stays so.
    divisor = combined(builder, "maximum", divisor, scalar(float(np.finfo(np.float32).tiny)), divisor.shape)
    builder.hold(operator.outputs[0], combined(builder, "divide", held, divisor, held.shape))


def group_normalization(builder: Builder, operator: Operator) -> None:
    """Scales and biases are those of groups before version 21, and of channels from then on."""
    held = builder.held(operator.inputs[0])
    shape = held.shape
    groups = int(operator.attributes["num_groups"])
    channels = shape[1]
    if groups < 1 or channels % groups:
        raise Refused(f"{channels} channels in {groups} groups are not supported")
    split = builder.reshape(held, (shape[0], groups, prod(shape[1:]) // groups))
    found, _, _ = standardised(builder, split, range(2, 3), operator.attributes.get("epsilon", 1e-5))
    scale, bias = (builder.floats(name, "numbers of GroupNormalization") for name in operator.inputs[1:3])
    each = channels // len(scale)
    whole = builder.reshape(found, shape)
    builder.hold(operator.outputs[0], per_channel(builder, whole, np.repeat(scale, each), np.repeat(bias, each)))


def rms_normalization(builder: Builder, operator: Operator) -> None:
    """x / sqrt(mean of squares + epsilon), times scales."""
    held = builder.held(operator.inputs[0])
    axis = operator.attributes.get("axis", -1) % len(held.shape)
    squares = combined(builder, "multiply", held, held, held.shape)
    mean = reduced(builder, "mean", squares, range(axis, len(held.shape)))
    mean = combined(builder, "add", mean, scalar(operator.attributes.get("epsilon", 1e-5)), mean.shape)
    found = combined(builder, "divide", held, function(builder, mean, "square_root", main=False), held.shape)
    scale = builder.floats(operator.inputs[1], "scales")
    builder.hold(operator.outputs[0], combined(builder, "multiply", found, scale, held.shape))
