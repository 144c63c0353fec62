"""Convolutions, and products of matrices, which are convolutions of 1x1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ellopt.frontends.onnx.builder import Builder
from ellopt.frontends.onnx.fold import Operator
from ellopt.frontends.onnx.held import Held, flat, identity, image_order, image_size, packed
from ellopt.frontends.onnx.operators.elementwise import Operand, combined, scalar
from ellopt.frontends.onnx.operators.products import product
from ellopt.frontends.onnx.operators.windows import Windows, windows
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model import layers
from ellopt.model.layers import OUTSIDE, FloatArray, IntArray, MemoryLayout, Remap


def conv(builder: Builder, operator: Operator) -> None:
    weights = builder.floats(operator.inputs[1], "weights of a convolution")
    name = operator.inputs[0]
    name, around = builder.padded.get(name, (name, (0, 0, 0, 0)))
    source = builder.image(builder.held(name))
    at = windows(operator, _padded_space(source, around), weights.shape[2:])
    top, left = at.before[0] + around[0], at.before[1] + around[1]
    at = replace(at, before=(top, left), behind=(at.behind[0] + around[2], at.behind[1] + around[3]))
    shape = builder.shape(operator.outputs[0])
    builder.hold(operator.outputs[0], _convolution(builder, operator, source, weights, at, shape))


def _padded_space(source: Held, around: tuple[int, int, int, int]) -> tuple[int, ...]:
    space = list(source.shape[2:])
    space[-1] += around[1] + around[3]
    if len(space) == 2:
        space[0] += around[0] + around[2]
    return tuple(space)


def _convolution(
    builder: Builder, operator: Operator, source: Held, weights: FloatArray, at: Windows, shape: tuple[int, ...]
) -> Held:
    """The convolution, with its bias. ``weights``: [filter, channel of the group, (row,) column]."""
    groups = int(operator.attributes.get("group", 1))
    filters, depth = weights.shape[:2]
    channels = source.shape[1]
    if groups < 1 or depth * groups != channels or filters % groups:
        raise Refused(f"weights {list(weights.shape)} do not go with {channels} channels in {groups} groups")
    if weights.ndim == 3:
        weights = weights[:, :, None]
    order = np.ascontiguousarray(weights.transpose(0, 2, 3, 1))  # filter, row, column, channel
    depthwise = groups == channels == filters and groups > 1
    padded = _with_padding(builder, source, at)
    field, stride = at.size, at.strides
    node = layers.Convolution(
        **builder.common((padded,), packed(image_size(shape)), main=True),
        receptive_field=field[0],
        stride=stride[0],
        depthwise=depthwise,
        weights=order,
        columns=field[1],
        column_stride=stride[1],
        dilations=at.dilations,
        groups=1 if depthwise else groups,
    )
    found = builder.add(node, shape, image_order(len(shape)))
    if len(operator.inputs) > 2 and operator.inputs[2]:
        bias = builder.floats(operator.inputs[2], "biases of a convolution")
        found = builder.like(layers.Bias(**builder.common((found,), found.layout, kind="Bias"), bias=bias), found)
    return found


def _with_padding(builder: Builder, source: Held, at: Windows) -> Held:
    """The image with zeros around it, as far as windows reach."""
    if not any((*at.before, *at.behind)):
        return source
    rows, columns, channels = source.layout.size
    extent = (rows + at.before[0] + at.behind[0], columns + at.before[1] + at.behind[1], channels)
    layout = MemoryLayout(
        (rows, columns, channels), extent, (*at.before, 0), increment=(extent[1] * channels, channels, 1)
    )
    node = layers.Reorder(**builder.common((source,), layout, kind="Padding"))
    return builder.like(node, source)


def conv_transpose(builder: Builder, operator: Operator) -> None:
    """As a convolution with the filters turned, of the image with zeros between its pixels; in phases where that is
    not all there is to it (see ``_in_phases``)."""
    weights = builder.floats(operator.inputs[1], "weights of a convolution")  # channel, filter of the group, ...
    source = builder.image(builder.held(operator.inputs[0]))
    shape = builder.shape(operator.outputs[0])
    plain = {k: v for k, v in operator.attributes.items() if k not in ("pads", "auto_pad")}
    at = windows(replace(operator, attributes=plain), source.shape[2:], weights.shape[2:])
    groups = int(operator.attributes.get("group", 1))
    if source.shape[1] != weights.shape[0] or weights.shape[0] % groups:
        raise Refused(f"weights {list(weights.shape)} do not go with {source.shape[1]} channels in {groups} groups")
    space = (1, *source.shape[2:]) if len(shape) == 3 else source.shape[2:]
    wanted = (1, *shape[2:]) if len(shape) == 3 else shape[2:]
    begins = _begins(operator, at, space, wanted)
    if at.strides != (1, 1) and at.dilations == (1, 1):
        builder.hold(operator.outputs[0], _in_phases(builder, operator, source, weights, at, shape, begins))
        return
    chosen = {}
    for k, (n, out, stride, reach, begin) in enumerate(zip(space, wanted, at.strides, at.extent, begins, strict=True)):
        places = np.arange(out + reach - 1, dtype=np.int64) - (reach - 1 - begin)
        inside = (places >= 0) & (places <= (n - 1) * stride) & (places % stride == 0)
        if len(shape) == 4 or k == 1:
            chosen[len(shape) - 2 + k] = np.where(inside, places // stride, OUTSIDE)
    spread = builder.image(builder.select(source, chosen))
    channels, each = weights.shape[:2]
    split = weights.reshape(groups, channels // groups, each, *weights.shape[2:])
    turned = split.swapaxes(1, 2).reshape(groups * each, channels // groups, *weights.shape[2:])
    turned = np.flip(turned, axis=tuple(range(2, turned.ndim)))
    one = Windows(at.size, (1, 1), at.dilations, (0, 0), (0, 0))
    builder.hold(operator.outputs[0], _convolution(builder, operator, spread, turned, one, shape))


def _in_phases(
    builder: Builder,
    operator: Operator,
    source: Held,
    weights: FloatArray,
    at: Windows,
    shape: tuple[int, ...],
    begins: tuple[int, int],
) -> Held:
    """Each output row is of one of stride phases, and those of a phase are a convolution of the image itself with every
    stride-th row of the filters; so with columns. One convolution computes the phases of a pixel as filters of their
    own, which then go to their places.
    """
    groups = int(operator.attributes.get("group", 1))
    if weights.ndim == 3:
        weights = weights[:, :, None]
    (down, right), (rows, columns) = at.strides, at.size
    taps = (-(-rows // down), -(-columns // right))
    channels, each = weights.shape[:2]
    whole = np.zeros((channels, each, taps[0] * down, taps[1] * right), np.float32)
    whole[:, :, :rows, :columns] = weights
    split = whole.reshape(groups, channels // groups, each, taps[0], down, taps[1], right)
    # [group, row phase, column phase, filter, channel, tap, tap], the last tap first
    split = split.transpose(0, 4, 6, 2, 1, 3, 5)[..., ::-1, ::-1]
    filters = np.ascontiguousarray(split).reshape(groups * down * right * each, channels // groups, *taps)
    wanted = (1, *shape[2:]) if len(shape) == 3 else shape[2:]
    before = (taps[0] - 1, taps[1] - 1)
    space = source.layout.size[:2]
    # Cells of the image that the last outputs wanted need, which may be beyond it (output_padding).
    reach = [-(-(begin + out) // stride) for begin, out, stride in zip(begins, wanted, at.strides, strict=True)]
    made = [max(n + more, last) for n, more, last in zip(space, before, reach, strict=True)]
    behind = (made[0] - space[0], made[1] - space[1])
    one = Windows(taps, (1, 1), (1, 1), before, behind)
    plain = replace(operator, inputs=operator.inputs[:2])
    size = (1, len(filters), *made) if len(shape) == 4 else (1, len(filters), made[1])
    found = _convolution(builder, plain, source, filters, one, size)
    if len(operator.inputs) > 2 and operator.inputs[2]:
        own = builder.floats(operator.inputs[2], "biases of a convolution").reshape(groups, 1, each)
        bias = np.broadcast_to(own, (groups, down * right, each)).reshape(-1)
        found = builder.like(layers.Bias(**builder.common((found,), found.layout, kind="Bias"), bias=bias), found)
    # rows x columns x [group, row phase, column phase, filter] -> (rows, row phase) x (columns, column phase) x filters
    strides = (made[1] * len(filters), len(filters), down * right * each, right * each, each)
    tables: tuple[IntArray, ...]
    if begins == (0, 0) and wanted == (made[0] * down, made[1] * right):
        counts = (made[0], down, made[1], right, groups, each)
        steps = (strides[0], strides[3], strides[1], strides[4], strides[2], 1)
        tables = tuple(np.arange(n, dtype=np.int64) * step for n, step in zip(counts, steps, strict=True))
    else:
        y, x, f = (np.arange(n, dtype=np.int64) for n in (*wanted, groups * each))
        y, x = y + begins[0], x + begins[1]
        tables = (
            y // down * strides[0] + y % down * strides[3],
            x // right * strides[1] + x % right * strides[4],
            f // each * strides[2] + f % each,
        )
    layout = packed(image_size(shape))
    return builder.add(Remap(**builder.common((found,), layout), tables=tables), shape, image_order(len(shape)))


def _begins(operator: Operator, at: Windows, space: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, int]:
    """How many rows and columns of the whole result are left out before the first."""
    rank = len(operator.attributes.get("pads", ())) // 2
    mode = operator.attributes.get("auto_pad", b"NOTSET")
    pads = operator.attributes.get("pads")
    if mode in (b"SAME_UPPER", b"SAME_LOWER") or (operator.attributes.get("output_shape") and mode == b"NOTSET"):
        extra = operator.attributes.get("output_padding") or [0, 0]
        extra = (0, extra[0]) if len(extra) == 1 else tuple(extra)
        total = [
            (n - 1) * s + e + r - w for n, s, r, w, e in zip(space, at.strides, at.extent, wanted, extra, strict=True)
        ]
        upper = mode == b"SAME_UPPER"
        return (_share(total[0], upper), _share(total[1], upper))
    if pads is None or mode == b"VALID":
        return (0, 0)
    return (0, pads[0]) if rank == 1 else (pads[0], pads[1])


def _share(total: int, upper: bool) -> int:
    """How much of the padding comes first: the smaller half where the larger is at the upper end."""
    return total // 2 if upper else total - total // 2


def gemm(builder: Builder, operator: Operator) -> None:
    attributes = operator.attributes
    left, right = operator.inputs[:2]
    alpha, beta = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    source = builder.held(left)
    if attributes.get("transA", 0):
        source = builder.transpose(source, (1, 0))
    weights = builder.constant(right)
    if weights is None:
        other = builder.held(right)
        found = product(builder, source, builder.transpose(other, (1, 0)) if attributes.get("transB", 0) else other)
        found = found if alpha == 1 else combined(builder, "multiply", found, scalar(alpha), found.shape)
    else:
        weights = np.asarray(weights, np.float32)
        weights = weights.T if attributes.get("transB", 0) else weights
        found = _product(builder, source, (weights.astype(np.float64) * alpha).astype(np.float32))
    if len(operator.inputs) > 2 and operator.inputs[2]:
        values = builder.constant(operator.inputs[2])
        added: Operand
        if values is not None:
            added = np.asarray(values, np.float32) * np.float32(beta)
        else:
            added = builder.held(operator.inputs[2])
            added = added if beta == 1 else combined(builder, "multiply", added, scalar(beta), added.shape)
        found = combined(builder, "add", found, added, found.shape)
    builder.hold(operator.outputs[0], found)


def matmul(builder: Builder, operator: Operator) -> None:
    left, right = operator.inputs
    weights = builder.constant(right)
    if weights is None or weights.ndim > 2:
        found = product(builder, builder.held(left), builder.held(right))
        builder.hold(operator.outputs[0], builder.reshape(found, builder.shape(operator.outputs[0])))
        return
    weights = np.asarray(weights, np.float32)
    source = builder.held(left)
    found = _product(builder, source, weights.reshape(weights.shape[0], -1))
    builder.hold(operator.outputs[0], builder.reshape(found, builder.shape(operator.outputs[0])))


def _product(builder: Builder, source: Held, weights: FloatArray) -> Held:
    """``source`` [..., depth] times ``weights`` [depth, count]: one vector by a fully connected layer, several as the
    pixels of a convolution."""
    depth, count = weights.shape
    shape = (*source.shape[:-1], count)
    rows = source.elements // depth
    if source.shape[-1] != depth:
        raise Refused(f"a matrix {list(weights.shape)} does not go with {list(source.shape)}")
    source = builder.dense(source)
    if rows == 1:
        node = layers.FullyConnected(
            **builder.common((source,), flat(count), main=True), weights=np.ascontiguousarray(weights.T)
        )
        return builder.add(node, shape, identity(shape))
    source = builder.arranged(source, identity(source.shape), packed((1, rows, depth)))
    convolution = layers.Convolution(
        **builder.common((source,), packed((1, rows, count)), main=True),
        receptive_field=1,
        stride=1,
        depthwise=False,
        weights=np.ascontiguousarray(weights.T).reshape(count, 1, 1, depth),
    )
    return builder.add(convolution, shape, identity(shape))
