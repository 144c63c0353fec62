"""Concatenation without copies: steps write into their slices of what is joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ellopt.codegen.network import CopyStep, Slice, Step, Tensor
from ellopt.codegen.steps.general import Joined, joined, pixel_by_pixel, reads_pixels, without, writes_pixels

Tensors = Mapping[str, Tensor]


def write_slices(steps: Sequence[Step], tensors: Tensors) -> tuple[list[Step], dict[str, Tensor]]:
    """Steps and tensors, where each step whose result a concatenation joins writes its part of it.

    Some steps can have any distance between the pixels that they write; others write dense memory, so only a
    part that is dense can be theirs. The same is true of what else reads it. The concatenation copies what else it
    joins, and is gone where nothing is left; so is a step that moves nothing.
    """
    found, sliced = list(steps), dict(tensors)
    readers: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        for name in step.inputs:
            readers[name].append(step)
    writers = {step.output: step for step in steps}
    for step in reversed(steps):  # what is joined twice goes to its last place
        direct: dict[str, Slice] = {}
        for name, part in zip(step.inputs, joined(step), strict=False):
            place = _place(sliced[name], part, sliced[step.output])
            others = [reader for reader in readers[name] if reader is not step]
            read = len(others) == len(readers[name]) - 1 and _read_there(others, sliced[step.output], part)
            whole = part.start + sliced[name].elements // part.outer <= part.whole
            if place is not None and whole and read and _writes(writers.get(name), sliced[name], part):
                direct[name] = place
        if not direct:
            continue
        for name, place in direct.items():
            sliced[name] = replace(sliced[name], place=sliced[step.output].place, slice=place)
            if place.pixel_stride != sliced[name].channels:
                k = found.index(writers[name])
                found[k] = pixel_by_pixel(found[k], sliced[name])
        rest = without(step, direct)
        found[found.index(step) : found.index(step) + 1] = [] if rest is None else [rest]
    return found, sliced


def _writes(writer: Step | None, result: Tensor, part: Joined) -> bool:
    """Whether ``writer`` can write ``result`` as ``part``."""
    if writer is None:
        return False
    dense = part.outer == 1 and not isinstance(writer, CopyStep)
    return dense or writer.strided or writes_pixels(writer, result)


def _read_there(readers: Sequence[Step], whole: Tensor, part: Joined) -> bool:
    """Whether all of ``readers`` can read what lies as ``part`` in ``whole``. The caller's array is not read again."""
    return not readers or (
        whole.place == "arena" and all(part.outer == 1 or reads_pixels(reader) for reader in readers)
    )


def _place(tensor: Tensor, part: Joined, whole: Tensor) -> Slice | None:
    """Where the elements of ``tensor`` lie in ``whole``, or in what that is a dense slice of; None where they do not
    lie in rows of pixels."""
    if tensor.border or whole.border:
        return None
    name, start = (whole.slice.whole, whole.slice.start) if whole.slice else (whole.name, 0)
    start += part.start
    row = tensor.columns * tensor.channels
    if part.outer == 1:
        return Slice(name, start, row, tensor.channels)
    if part.outer == tensor.rows:
        return Slice(name, start, part.whole, tensor.channels)
    if part.outer == tensor.rows * tensor.columns:
        return Slice(name, start, tensor.columns * part.whole, part.whole)
    return None
