"""Concatenation without copies: steps write into their slices of what is joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ellopt.codegen.network import CopyStep, Slice, Step, Tensor
from ellopt.codegen.steps.general import Joined, joined, without

Tensors = Mapping[str, Tensor]


def write_slices(steps: Sequence[Step], tensors: Tensors) -> tuple[list[Step], dict[str, Tensor]]:
    """Steps and tensors, where each step whose result only a concatenation reads writes its part of it.

    Some steps can have any distance between the pixels that they write; others write dense memory, so only a
    part that is dense can be theirs. The concatenation copies what else it joins, and is gone where nothing is left.
    """
    found, sliced = list(steps), dict(tensors)
    readers = Counter(name for step in steps for name in step.inputs)
    writers = {step.output: step for step in steps}
    for step in reversed(steps):  # what is joined twice goes to its last place
        direct: dict[str, Slice] = {}
        for name, part in zip(step.inputs, joined(step), strict=False):
            place = _place(sliced[name], part, sliced[step.output])
            if place is not None and readers[name] == 1 and _writes(writers.get(name), part):
                direct[name] = place
        if not direct:
            continue
        for name, place in direct.items():
            sliced[name] = replace(sliced[name], place=sliced[step.output].place, slice=place)
        rest = without(step, direct)
        found[found.index(step) : found.index(step) + 1] = [] if rest is None else [rest]
    return found, sliced


def _writes(writer: Step | None, part: Joined) -> bool:
    """Whether ``writer`` can write its result as ``part``."""
    return writer is not None and (writer.strided or (part.outer == 1 and not isinstance(writer, CopyStep)))


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
