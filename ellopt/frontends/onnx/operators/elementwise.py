"""Operators that work element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod

import numpy as np
from onnx import TensorProto, helper

from ellopt.frontends.onnx.builder import Builder
from ellopt.frontends.onnx.fold import WHOLE, Operator, Shape
from ellopt.frontends.onnx.held import Held, flat, identity
from ellopt.frontends.onnx.operators.windows import text
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import Broadcast, FloatArray

Operand = Held | FloatArray
Translator = Callable[[Builder, Operator], None]

#: A number is made one of each channel for no more channels.
_MOST_CHANNELS = 4096
#: Those of ELL's node; with images in memory that is alike, they are fused.
_ELL_NAMES = {"add": "add", "subtract": "subtract", "multiply": "coordinatewiseMultiply", "divide": "divide"}


def function(
    builder: Builder, held: Held, name: str, first: float = 0.0, second: float = 0.0, main: bool = True
) -> Held:
    """An activation of ``held``."""
    common = builder.common((held,), held.layout, main=main)
    return builder.like(layers.Activation(**common, function=name, leaky_factor=first, beta=second), held)


def scalar(value: float) -> FloatArray:
    """A constant of no dimension."""
    return np.asarray(value, np.float32)


def unary(name: str, *numbers: tuple[str, float]) -> Translator:
    """The translator of an operator with one input. ``numbers``: the attributes that are the function's numbers, with
    their defaults."""

    def translate(builder: Builder, operator: Operator) -> None:
        first, second = [*(float(operator.attributes.get(key, default)) for key, default in numbers), 0.0, 0.0][:2]
        found = function(builder, builder.held(operator.inputs[0]), name, first, second)
        builder.hold(operator.outputs[0], found)

    return translate


def hard_swish(builder: Builder, operator: Operator) -> None:
    builder.hold(
        operator.outputs[0],
        function(builder, builder.held(operator.inputs[0]), "hard_swish", float(np.float32(1 / 6)), 0.5),
    )


def gelu(builder: Builder, operator: Operator) -> None:
    name = "gelu_tanh" if text(operator.attributes.get("approximate", b"none")) == "tanh" else "gelu"
    builder.hold(operator.outputs[0], function(builder, builder.held(operator.inputs[0]), name))


def negative(builder: Builder, operator: Operator) -> None:
    held = builder.held(operator.inputs[0])
    builder.hold(operator.outputs[0], combined(builder, "multiply", held, scalar(-1), held.shape))


def same(builder: Builder, operator: Operator) -> None:
    """Identity, and what is identity when a network is not trained."""
    if any(operator.outputs[1:]):
        raise Refused(f"{operator.kind} with a second output is not supported")
    if operator.inputs[0] in builder.padded:
        builder.padded[operator.outputs[0]] = builder.padded[operator.inputs[0]]
        return
    builder.hold(operator.outputs[0], builder.held(operator.inputs[0]))


def dropout(builder: Builder, operator: Operator) -> None:
    if (
        len(operator.inputs) > 2
        and operator.inputs[2]
        and any(builder.integers(operator.inputs[2], "modes of Dropout"))
    ):
        raise Refused("Dropout that trains is not supported; export the model for inference")
    same(builder, operator)


def cast(builder: Builder, operator: Operator) -> None:
    """To float32, and of truth values and whole numbers to whole numbers: as floats they are the same."""
    source, to = builder.kind(operator.inputs[0]), int(operator.attributes["to"])
    if source != to and to != TensorProto.FLOAT and not (_largest(builder, source) <= WHOLE.get(to, -1)):
        read, made = (helper.tensor_dtype_to_string(kind).partition(".")[2] for kind in (source, to))
        raise Refused(f"Cast from {read} to {made} is not supported on what is computed")
    same(builder, operator)


def _largest(builder: Builder, kind: int) -> float:
    """What no element of a computed tensor of this type exceeds."""
    if kind == TensorProto.BOOL:
        return 1
    return builder.largest_place if kind == TensorProto.INT64 else WHOLE.get(kind, np.inf)


def clip(builder: Builder, operator: Operator) -> None:
    limits = [float(operator.attributes.get("min", -np.inf)), float(operator.attributes.get("max", np.inf))]
    for k, name in enumerate(operator.inputs[1:3]):
        if name:
            limits[k] = float(builder.floats(name, "limits of Clip").reshape(-1)[0])
    low, high = (float(np.clip(value, -3.4028234663852886e38, 3.4028234663852886e38)) for value in limits)
    held = builder.held(operator.inputs[0])
    if (low, limits[1]) == (0.0, np.inf):
        builder.hold(operator.outputs[0], function(builder, held, "relu"))
        return
    builder.hold(operator.outputs[0], function(builder, held, "clip", low, high))


def prelu(builder: Builder, operator: Operator) -> None:
    builder.hold(operator.outputs[0], of_inputs(builder, operator, "prelu"))


def folding(name: str) -> Translator:
    """The translator of an operator with two inputs, or with any number, one after the other."""

    def translate(builder: Builder, operator: Operator) -> None:
        _check_old_broadcasting(operator)
        builder.hold(operator.outputs[0], of_inputs(builder, operator, name))

    return translate


def _check_old_broadcasting(operator: Operator) -> None:
    if operator.attributes.get("broadcast") or "axis" in operator.attributes:
        raise Refused("broadcasting as in versions before 7 is not supported")


def mean(builder: Builder, operator: Operator) -> None:
    shape = builder.shape(operator.outputs[0])
    total = of_inputs(builder, operator, "add")
    share = scalar(1 / len(operator.inputs))
    builder.hold(operator.outputs[0], combined(builder, "multiply", total, share, shape))


def power(builder: Builder, operator: Operator) -> None:
    exponent = builder.constant(operator.inputs[1])
    held = builder.held(operator.inputs[0])
    shape = builder.shape(operator.outputs[0])
    if exponent is None or exponent.size != 1 or shape != held.shape:
        builder.hold(operator.outputs[0], of_inputs(builder, operator, "power"))
        return
    value = float(exponent.reshape(-1)[0])
    if value == 2.0:
        builder.hold(operator.outputs[0], combined(builder, "multiply", held, held, shape))
    elif value == 0.5:
        builder.hold(operator.outputs[0], function(builder, held, "square_root"))
    else:
        builder.hold(operator.outputs[0], function(builder, held, "power", value))


def where(builder: Builder, operator: Operator) -> None:
    shape = builder.shape(operator.outputs[0])
    operands = [_operand(builder, name) for name in operator.inputs]
    builder.hold(operator.outputs[0], broadcast(builder, "where", operands, shape))


def _operand(builder: Builder, name: str) -> Operand:
    values = builder.constant(name)
    return builder.held(name) if values is None else np.asarray(values, np.float32)


def of_inputs(builder: Builder, operator: Operator, name: str) -> Held:
    """All inputs of an operator, combined one after the other."""
    operands = [_operand(builder, given) for given in operator.inputs]
    if len(operands) == 1:
        return builder.held(operator.inputs[0])

    def join(a: Operand, b: Operand) -> Operand:
        return combined(builder, name, a, b, np.broadcast_shapes(a.shape, b.shape))

    found = reduce(join, operands)
    assert isinstance(found, Held)
    return found


def combined(builder: Builder, name: str, a: Operand, b: Operand, shape: Shape) -> Held:
    """Two operands, at least one of which is computed, broadcast to ``shape``."""
    if name in _ELL_NAMES:
        if isinstance(a, Held) and isinstance(b, Held):
            if a.shape == b.shape == shape and a.lies_as(b.order) and a.layout == b.layout:
                common = builder.common((a, b), a.layout)
                return builder.like(layers.BinaryOperation(**common, operation=_ELL_NAMES[name]), a)
        elif isinstance(a, Held):
            found = _affine(builder, name, a, np.asarray(b), shape)
            if found is not None:
                return found
        elif isinstance(b, Held) and name in ("add", "multiply"):
            return combined(builder, name, b, a, shape)
    return broadcast(builder, name, [a, b], shape)


def _affine(builder: Builder, name: str, held: Held, values: FloatArray, shape: Shape) -> Held | None:
    """A sum or product with constants, as far as they are the same for all pixels: what convolutions fuse."""
    row = _per_channel(held, values) if held.shape == shape else None
    if row is None:
        return None
    if name == "divide":
        if (row == 0).any() or not np.isfinite(1 / row).all():
            return None
        row = (1 / row.astype(np.float64)).astype(np.float32)
    common = builder.common((held,), held.layout)
    if name in ("multiply", "divide"):
        return builder.like(layers.Scaling(**common, scales=row), held)
    return builder.like(layers.Bias(**common, bias=row if name == "add" else -row), held)


def _per_channel(held: Held, values: FloatArray) -> FloatArray | None:
    """``values`` for each channel of the memory of ``held``; None if they differ between pixels, or where they would be
    spread over more than is worth it."""
    channels, rank = held.layout.size[2], len(held.shape)
    if rank < values.ndim or (values.size < channels and channels > _MOST_CHANNELS):
        return None
    inner: list[int] = []
    for axis in reversed(held.order):
        if prod(held.shape[a] for a in inner) == channels:
            break
        inner.append(axis)
    full = values.reshape((1,) * (rank - values.ndim) + values.shape)
    if prod(held.shape[a] for a in inner) != channels or any(
        full.shape[axis] != 1 for axis in range(rank) if axis not in inner
    ):
        return None
    row = np.broadcast_to(full, tuple(n if axis in inner else 1 for axis, n in enumerate(held.shape)))
    return np.ascontiguousarray(row.transpose(held.order), np.float32).reshape(-1)


def broadcast(builder: Builder, name: str, operands: Sequence[Operand], shape: Shape) -> Held:
    """One of BROADCAST_OPERATIONS in its general form."""
    helds = [x if isinstance(x, Held) else builder.constant_node(x) for x in operands]
    helds = [_with_rank(held, len(shape)) for held in helds]
    leader = next((held for held in helds if held.shape == shape), None)
    order = identity(shape) if leader is None else leader.order
    layout = flat(prod(shape)) if leader is None else builder.layout_for(leader, shape)
    if leader is not None and leader.layout.size != layout.size:
        layout = leader.layout
    strides = tuple(tuple(0 if held.shape[a] == 1 else held.strides[a] for a in order) for held in helds)
    counts = tuple(shape[a] for a in order)
    node = Broadcast(
        **builder.common(helds, layout),
        operation=name,
        counts=counts or (1,),
        strides=strides if counts else ((0,),) * len(helds),
    )
    return builder.add(node, shape, order)


def _with_rank(held: Held, rank: int) -> Held:
    more = rank - len(held.shape)
    if not more:
        return held
    order = (*range(more), *(axis + more for axis in held.order))
    return Held(held.node_id, held.layout, (1,) * more + held.shape, order)
