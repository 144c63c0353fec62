"""Elements taken from, or put to, constant places."""

from __future__ import annotations

import numpy as np

from ellopt.frontends.onnx.builder import Builder, IntArray
from ellopt.frontends.onnx.fold import Operator
from ellopt.frontends.onnx.held import Held, flat, identity
from ellopt.frontends.onnx.operators.movement import joined_flat
from ellopt.frontends.onnx.operators.windows import text
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model.layers import Remap


def gather_elements(builder: Builder, operator: Operator) -> None:
    held = builder.dense(builder.held(operator.inputs[0]))
    axis = operator.attributes.get("axis", 0) % len(held.shape)
    numbers = _constant(builder, operator, operator.inputs[1])
    places = list(np.indices(numbers.shape))
    places[axis] = _within(operator, numbers, held.shape[axis])
    _take(builder, operator, held, np.asarray(np.ravel_multi_index(tuple(places), held.shape)))


def gather_nd(builder: Builder, operator: Operator) -> None:
    held = builder.dense(builder.held(operator.inputs[0]))
    if operator.attributes.get("batch_dims", 0):
        raise Refused("GatherND with batch_dims is not supported")
    numbers = _constant(builder, operator, operator.inputs[1])
    _take(builder, operator, held, _places(operator, numbers, held.shape))


def scatter_nd(builder: Builder, operator: Operator) -> None:
    """``updates`` at constant places of ``data``: of both one after the other, each element from where it is."""
    if text(operator.attributes.get("reduction", b"none")) != "none":
        raise Refused("ScatterND with a reduction is not supported")
    data = builder.dense(builder.held(operator.inputs[0]))
    numbers = _constant(builder, operator, operator.inputs[1])
    updates = builder.dense(builder.held(operator.inputs[2]))
    table = np.arange(data.elements, dtype=np.int64)
    places = _places(operator, numbers, data.shape).reshape(-1)
    if updates.elements != places.size:
        raise Refused(f"ScatterND of {updates.elements} elements to {places.size} places")
    table[places] = data.elements + np.arange(places.size)
    _take(builder, operator, joined_flat(builder, [data, updates]), table)


def _constant(builder: Builder, operator: Operator, name: str) -> IntArray:
    values = builder.constant(name)
    if values is None:
        raise Refused(f"{operator.kind} with indices that are computed is not supported, only constant ones")
    return np.asarray(values, np.int64)


def _within(operator: Operator, numbers: IntArray, count: int) -> IntArray:
    if (numbers < -count).any() or (numbers >= count).any():
        raise Refused(f"{operator.kind} with indices beyond the {count} elements of the axis")
    return numbers % count


def _places(operator: Operator, numbers: IntArray, shape: tuple[int, ...]) -> IntArray:
    """The elements that tuples of indices, the last axis of ``numbers``, mean: whole parts where a tuple is short."""
    depth = numbers.shape[-1]
    step = int(np.prod(shape[depth:], dtype=np.int64))
    firsts = np.zeros(numbers.shape[:-1], np.int64)
    for k, count in enumerate(shape[:depth]):
        firsts = firsts * count + _within(operator, numbers[..., k], count)
    return firsts[..., None] * step + np.arange(step)


def _take(builder: Builder, operator: Operator, held: Held, places: IntArray) -> None:
    shape = builder.shape(operator.outputs[0])
    if places.size == 0:
        raise Refused("tensors without elements are not supported")
    node = Remap(**builder.common((held,), flat(places.size), main=True), tables=(places.reshape(-1),))
    builder.hold(operator.outputs[0], builder.add(node, shape, identity(shape)))
