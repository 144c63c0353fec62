"""Steps over dense memory that read tensors whose pixels lie apart: their numbers for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ellopt.codegen.network import Slice, Step, Tensor
from ellopt.codegen.steps.general import GeneralStep

#: As in C.
_OUTSIDE = -(1 << 30)
_AXIS = 5  # numbers of an axis of a remap


def first_channel(step: Step, source: Tensor, result: Tensor) -> int | None:
    """From which channel of ``source`` on ``step`` moves some channels of every pixel; or None."""
    if not isinstance(step, GeneralStep) or step.loops != "ELL_REMAP":
        return None
    first, *rest = step.numbers.tolist()
    pixels = source.rows * source.columns
    moved = [2, pixels, source.channels, 0, 0, 0, result.channels, 1, 0, 0, 0]
    same = (source.rows, source.columns) == (result.rows, result.columns)
    inside = first >= 0 and first + result.channels <= source.channels
    return first if same and inside and rest == moved else None


def reads_spaced(step: Step, name: str, tensor: Tensor, place: Slice) -> bool:
    """Whether ``step`` can read ``tensor``, its input ``name``, at ``place``; with other numbers if need be."""
    if step.reads_strided:
        return True
    if not isinstance(step, GeneralStep):
        return False
    dense = (place.row_stride, place.pixel_stride) == (tensor.columns * tensor.channels, tensor.channels)
    if dense or step.loops == "ELL_WINDOW_POOLING":
        return True
    if place.row_stride != tensor.columns * place.pixel_stride:
        return False
    if step.loops == "ELL_CONCATENATION":
        pixels, _, inputs = step.numbers[:3].tolist()
        return bool(pixels == tensor.rows * tensor.columns and inputs == len(step.inputs))
    if step.loops == "ELL_AXIS_WEIGHTS":
        return int(step.numbers[2]) in (tensor.channels, tensor.columns * tensor.channels)
    return _numbers(step, name, tensor.channels, place.pixel_stride) is not None


def spaced(step: Step, name: str, tensor: Tensor, place: Slice) -> Step:
    """``step``, for which ``reads_spaced`` holds, as it reads ``tensor`` at ``place``."""
    if step.reads_strided or not isinstance(step, GeneralStep):
        return step
    numbers = _numbers(step, name, tensor.channels, place.pixel_stride)
    return step if numbers is None else replace(step, numbers=np.asarray(numbers, np.int32))


def _numbers(step: GeneralStep, name: str, channels: int, apart: int) -> list[int] | None:
    """The numbers of ``step`` where pixels of ``channels`` elements lie ``apart``; None where that cannot be."""
    numbers: list[int] = step.numbers.tolist()
    match step.loops:
        case "ELL_REMAP":
            return _remap(numbers, channels, apart)
        case "ELL_BROADCAST":
            operands, axes = numbers[:2]
            counts, start = numbers[2 + operands : 2 + operands + axes], 2 + operands + axes
            for k in range(operands):
                if step.inputs[k] == name:
                    own = slice(start + k * axes, start + (k + 1) * axes)
                    found = _strides(counts, numbers[own], channels, apart)
                    if found is None:
                        return None
                    numbers[own] = found
            return numbers
        case "ELL_REDUCTION":
            axes = numbers[0]
            found = _strides(numbers[2 : 2 + axes], numbers[2 + axes :], channels, apart)
            return None if found is None else [*numbers[: 2 + axes], *found]
        case _:
            return None


def _strides(counts: Sequence[int], strides: Sequence[int], channels: int, apart: int) -> list[int] | None:
    axes = [(0, (count - 1) * stride, stride) for count, stride in zip(counts, strides, strict=True)]
    if not _separate(0, axes, channels):
        return None
    return [_moved(stride, channels, apart) for stride in strides]


def _remap(numbers: Sequence[int], channels: int, apart: int) -> list[int] | None:
    first, count = numbers[:2]
    axes: list[list[int]] = []
    tables: list[list[int]] = []
    for axis in range(count):
        own = list(numbers[2 + _AXIS * axis : 2 + _AXIS * (axis + 1)])
        whole = all(own[k] % channels == 0 for k in (0, 3, 4))
        if own[1] == 1 and not own[2] and own[0] > channels and whole:  # a row of pixels
            axes += [[own[0] // channels, channels, 0, own[3] // channels, own[4] // channels], [channels, 1, 0, 0, 0]]
            tables += [[], []]
        else:
            axes.append(own)
            tables.append(list(numbers[own[2] : own[2] + own[0]]) if own[2] else [])
    reaches = [_reach(own, table, channels) for own, table in zip(axes, tables, strict=True)]
    if first < 0 or not _separate(first % channels, reaches, channels):
        return None
    place = 2 + _AXIS * len(axes)
    behind: list[int] = []
    for own, table in zip(axes, tables, strict=True):
        own[1] = _moved(own[1], channels, apart)
        own[2] = place + len(behind) if table else 0
        behind += [n if n == _OUTSIDE else _moved(n, channels, apart) for n in table]
    return [_moved(first, channels, apart), len(axes), *(n for own in axes for n in own), *behind]


def _reach(axis: Sequence[int], table: Sequence[int], channels: int) -> tuple[int, int, int]:
    """The least and the largest offset of an axis, and what they are multiples of."""
    count, step, _, before, behind = axis
    if table:
        inside = [n for n in table if n != _OUTSIDE] or [0]
        return min(inside), max(inside), 1 if any(n % channels for n in inside) else channels
    last = (count - before - behind - 1) * step
    return min(0, last), max(0, last), step


def _separate(first: int, reaches: Sequence[tuple[int, int, int]], channels: int) -> bool:
    """Whether every axis, from its least to its largest offset in such steps, goes over pixels or stays in one."""
    inside = [(low, high) for low, high, step in reaches if step % channels]
    low, high = (first + sum(reach[k] for reach in inside) for k in (0, 1))
    return bool(low >= 0 and high < channels)


def _moved(offset: int, channels: int, apart: int) -> int:
    """An offset of whole pixels, or one within a pixel."""
    pixels = offset // channels if offset >= 0 or offset % channels == 0 else 0
    return pixels * apart + offset - pixels * channels
