"""Resize and Upsample: along each axis, one after the other, by nearest neighbours or weights."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from ellopt.frontends.onnx.builder import Builder, IntArray
from ellopt.frontends.onnx.fold import Operator, Shape
from ellopt.frontends.onnx.held import Held
from ellopt.frontends.onnx.operators.normalisation import weighted
from ellopt.frontends.onnx.operators.windows import text
from ellopt.frontends.onnx.refusals import Refused

Places = npt.NDArray[np.float64]
#: Elements that lie next to each other of which loops are fast.
_LONG = 32
#: Operators of one tensor that work element by element, as they stand behind a last Resize.
_FUNCTIONS = ("Sigmoid", "Relu", "Clip", "Tanh", "HardSigmoid")


def upsample(builder: Builder, operator: Operator) -> None:
    """Resize as it was before version 10."""
    scales = operator.attributes.get("scales")
    if scales is None:
        scales = builder.floats(operator.inputs[1], "scales").reshape(-1)
    mode = text(operator.attributes.get("mode", b"nearest"))
    _resize(builder, operator, [float(s) for s in scales], mode, "asymmetric", "floor")


def resize(builder: Builder, operator: Operator) -> None:
    attributes = operator.attributes
    mode = text(attributes.get("mode", b"nearest"))
    if builder.graph.file.opset < 11:
        old = [float(s) for s in builder.floats(operator.inputs[1], "scales").reshape(-1)]
        _resize(builder, operator, old, mode, "asymmetric", "floor")
        return
    if attributes.get("antialias"):
        raise Refused("Resize with antialias is not supported")
    coordinates = text(attributes.get("coordinate_transformation_mode", b"half_pixel"))
    if coordinates == "tf_crop_and_resize":
        raise Refused("Resize with tf_crop_and_resize is not supported")
    shape, out = builder.shape(operator.inputs[0]), builder.shape(operator.outputs[0])
    names = [*operator.inputs, "", "", ""]
    axes = [axis % len(shape) for axis in attributes.get("axes", range(len(shape)))]
    scales = [1.0] * len(shape)
    if names[2] and builder.floats(names[2], "scales").size:
        given = [float(s) for s in builder.floats(names[2], "scales").reshape(-1)]
        for axis, scale in zip(axes, given, strict=True):
            scales[axis] = scale
    else:
        scales = [m / n for n, m in zip(shape, out, strict=True)]
        if text(attributes.get("keep_aspect_ratio_policy", b"stretch")) != "stretch":
            sizes = builder.integers(names[3], "sizes")
            pick = min if text(attributes["keep_aspect_ratio_policy"]) == "not_larger" else max
            scale = pick(size / shape[axis] for axis, size in zip(axes, sizes, strict=True))
            scales = [scale if axis in axes else 1.0 for axis in range(len(shape))]
    nearest = text(attributes.get("nearest_mode", b"round_prefer_floor"))
    _resize(builder, operator, scales, mode, coordinates, nearest)


def _resize(
    builder: Builder, operator: Operator, scales: list[float], mode: str, coordinates: str, nearest: str
) -> None:
    held = builder.held(operator.inputs[0])
    shape = builder.shape(operator.outputs[0])
    attributes = operator.attributes
    if prod(shape) > held.elements and _only_put_out(builder, operator.outputs[0]):
        held = builder.dense(held)  # as it leaves, while it is small
    chosen: dict[int, IntArray] = {}
    for axis in _in_turn(held, shape):
        n, count, scale = held.shape[axis], shape[axis], scales[axis]
        if count == n and scale == 1:
            continue
        places = _places(n, count, scale, coordinates)
        if mode == "nearest":
            chosen[axis] = np.clip(_rounded(places, nearest), 0, n - 1)
        elif mode in ("linear", "cubic"):
            coefficient = float(attributes.get("cubic_coeff_a", -0.75))
            outside = bool(attributes.get("exclude_outside", 0))
            held = _interpolated(builder, held, axis, places, coefficient if mode == "cubic" else None, outside)
        else:
            raise Refused(f"Resize with mode {mode} is not supported")
    builder.hold(operator.outputs[0], builder.select(held, chosen))


def _in_turn(held: Held, shape: Shape) -> list[int]:
    """The axes in the order in which they are resized: as they lie in memory. Where elements behind the innermost that
    grows are few, those that grow come last and backwards: the last writes most, and has the longest lines then."""
    growing = [axis for axis in held.order if shape[axis] > held.shape[axis]]
    if not growing or prod(held.shape[a] for a in held.order[held.order.index(growing[-1]) + 1 :]) >= _LONG:
        return list(held.order)
    return [axis for axis in held.order if axis not in growing] + growing[::-1]


def _only_put_out(builder: Builder, name: str) -> bool:
    """Whether a tensor is an output of the graph and nothing else, or becomes one element by element."""
    graph = builder.graph
    readers = [operator for operator in graph.operators if name in operator.inputs]
    if name in graph.outputs or len(readers) != 1:
        return name in graph.outputs and not readers
    [reader] = readers
    return reader.kind in _FUNCTIONS and _only_put_out(builder, reader.outputs[0])


def _places(n: int, count: int, scale: float, mode: str) -> Places:
    """Where each element of the result lies among the ``n`` of the input."""
    x = np.arange(count, dtype=np.float64)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        whole = scale * n
        return x * (n - 1) / (whole - 1) if whole != 1 else 0 * x
    if mode == "half_pixel_symmetric":
        centre = n / 2
        offset = centre * (1 - count / (scale * n))
        return offset + (x + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel" and count <= 1:
        return 0 * x - 0.5 + 0.5
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (x + 0.5) / scale - 0.5
    raise Refused(f"Resize with coordinate_transformation_mode {mode} is not supported")


def _rounded(places: Places, mode: str) -> npt.NDArray[np.int64]:
    if mode == "floor":
        found = np.floor(places)
    elif mode == "ceil":
        found = np.ceil(places)
    elif mode == "round_prefer_ceil":
        found = np.floor(places + 0.5)
    elif mode == "round_prefer_floor":
        found = np.ceil(places - 0.5)
    else:
        raise Refused(f"Resize with nearest_mode {mode} is not supported")
    return found.astype(np.int64)


def _interpolated(
    builder: Builder, held: Held, axis: int, places: Places, cubic: float | None, exclude_outside: bool
) -> Held:
    n = held.shape[axis]
    if cubic is None:
        places = np.clip(places, 0, n - 1)
    first = np.floor(places).astype(np.int64)
    t = places - first
    if cubic is None:
        taps = first[:, None] + np.arange(2)
        weights = np.stack([1 - t, t], axis=1)
    else:
        taps = first[:, None] + np.arange(-1, 3)
        weights = np.stack([_cubic(d, cubic) for d in (t + 1, t, 1 - t, 2 - t)], axis=1)
    if exclude_outside:
        weights = np.where((taps >= 0) & (taps < n), weights, 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
    return weighted(builder, held, axis, np.clip(taps, 0, n - 1), weights.astype(np.float32))


def _cubic(d: Places, a: float) -> Places:
    """R. Keys: Cubic Convolution Interpolation for Digital Image Processing, 1981."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)
