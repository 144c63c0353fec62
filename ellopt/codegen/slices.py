"""Concatenation without copies: steps write into their slices of what is joined, and others read slices.

A tensor that grows, as in DenseNet, lies in the last and largest, of which those before it are the first channels. What
is split along its channels is read where it lies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ellopt.codegen.network import CopyStep, Slice, Step, Tensor
from ellopt.codegen.steps.general import Joined, joined, pixel_by_pixel, without, writes_pixels
from ellopt.codegen.steps.spaced import first_channel, reads_spaced, spaced

Tensors = Mapping[str, Tensor]


def write_slices(steps: Sequence[Step], tensors: Tensors) -> tuple[list[Step], dict[str, Tensor]]:
    """Steps and tensors, where each step whose result a concatenation joins writes its part of it.

    Some steps can have any distance between the pixels that they write; others write dense memory, so only a
    part that is dense can be theirs. The same is true of what else reads it. The concatenation copies what else it
    joins, and is gone where nothing is left; so is a step that moves nothing.
    """
    slices = _Slices(steps, tensors)
    for step in reversed(steps):  # what is joined twice goes to its last place
        if parts := joined(step):
            slices.join(step, parts)
    for step in steps:
        slices.view(step)
    return slices.steps(), slices.tensors


class _Slices:
    """``tensors`` with the slices so far, and the steps that read and write them."""

    def __init__(self, steps: Sequence[Step], tensors: Tensors) -> None:
        self.tensors = dict(tensors)
        # By what it writes; what is gone is not there.
        self._now: dict[str, Step] = {step.output: step for step in steps}
        self._order = tuple(step.output for step in steps)
        self._readers: dict[str, list[str]] = defaultdict(list)
        for step in steps:
            for name in step.inputs:
                self._readers[name].append(step.output)
        self._parts: dict[str, tuple[str, int]] = {}  # of which tensor's channels, from which on
        for step in steps:
            first = first_channel(step, tensors[step.inputs[0]], tensors[step.output]) if step.inputs else None
            if first is not None:
                self._parts[step.output] = (step.inputs[0], first)

    def steps(self) -> list[Step]:
        return [self._now[name] for name in self._order if name in self._now]

    def join(self, step: Step, parts: Sequence[Joined]) -> None:
        """Place what ``step`` joins, or its result where that is joined already."""
        if self._is_there(step, parts):
            return
        direct: dict[str, Slice] = {}
        for name, part in zip(step.inputs, parts, strict=True):
            if name not in direct:
                direct |= self._whole_source(step, parts, name) or self._placed(name, part, step, (step.output,))
        for name, place in direct.items():
            source, first = self._parts.get(name, ("", 0))
            if source in direct and place.start == direct[source].start + first:
                del self._now[name]  # read where its source is written
            self._put(name, place)
        rest = without(self._now[step.output], direct) if direct else self._now[step.output]
        if rest is None:
            del self._now[step.output]
        else:
            self._now[step.output] = rest

    def view(self, step: Step) -> None:
        """Let what reads some channels of a tensor read them there."""
        if step.output not in self._parts or step.output not in self._now or self.tensors[step.output].slice:
            return
        name, first = self._parts[step.output]
        source, result = self.tensors[name], self.tensors[step.output]
        if source.border or result.border or source.place != "arena" or result.place != "arena":
            return
        start = first + (source.slice.start if source.slice else 0)
        place = Slice(source.buffer, start, source.row_stride, source.pixel_stride)
        if self._read_there(step.output, place):
            self._put(step.output, place)
            del self._now[step.output]

    def _is_there(self, step: Step, parts: Sequence[Joined]) -> bool:
        """Whether all that ``step`` joins lies side by side elsewhere, and is read there from now on."""
        result = self.tensors[step.output]
        places = [self.tensors[name].slice for name in step.inputs]
        if result.slice or result.border or result.place != "arena" or not all(_by_channel(result, p) for p in parts):
            return False
        found = {
            place and Slice(place.whole, place.start - part.start, place.row_stride, place.pixel_stride)
            for place, part in zip(places, parts, strict=True)
        }
        [place, *others] = found
        whole = sum(self.tensors[name].channels for name in step.inputs) == result.channels
        if place is None or others or not whole or not self._read_there(step.output, place):
            return False
        self._put(step.output, place)
        del self._now[step.output]
        return True

    def _whole_source(self, step: Step, parts: Sequence[Joined], name: str) -> dict[str, Slice]:
        """Where ``name`` is some channels of a tensor, all of whose channels are joined as they lie: its place, and
        those of all its parts. Empty if it is not so."""
        if name not in self._parts or not _by_channel(self.tensors[step.output], parts[0]):
            return {}
        source, _ = self._parts[name]
        own = {
            each: part
            for each, part in zip(step.inputs, parts, strict=True)
            if each in self._parts and self._parts[each][0] == source
        }
        starts = {part.start - self._parts[each][1] for each, part in own.items()}
        channels = sorted((self._parts[each][1], self.tensors[each].channels) for each in own)
        ends = [0, *(first + count for first, count in channels)]
        if (
            len(starts) != 1
            or [first for first, _ in channels] != ends[:-1]
            or ends[-1] != self.tensors[source].channels
        ):
            return {}
        if any(step.inputs.count(each) != 1 or self.tensors[each].slice or self.tensors[each].border for each in own):
            return {}
        [start] = starts
        found = self._placed(source, replace(parts[0], start=start), step, tuple(own))
        if not found:
            return {}
        place = found[source]
        found |= {each: replace(place, start=place.start + self._parts[each][1]) for each in own}
        if not all(self._read_there(each, found[each], (step.output,)) for each in own):
            return {}
        return found

    def _placed(self, name: str, part: Joined, step: Step, besides: Collection[str]) -> dict[str, Slice]:
        """The place of ``name`` as ``part`` of what ``step`` writes, if that can be: empty if not. ``besides``: readers
        that are not asked."""
        tensor, whole = self.tensors[name], self.tensors[step.output]
        place = None if tensor.slice else _place(tensor, part, whole)
        fits = part.start + tensor.elements // part.outer <= part.whole
        once = step.inputs.count(name) <= 1
        writer = self._now.get(name)
        if place is None or writer is None or not fits or not once or not _writes(writer, tensor, part):
            return {}
        others = set(self._readers[name]) - set(besides)
        if others and whole.place != "arena":  # the caller's array is not read again
            return {}
        dense = part.outer == 1
        return {name: place} if dense or self._read_there(name, place, besides) else {}

    def _read_there(self, name: str, place: Slice, besides: Collection[str] = ()) -> bool:
        """Whether all readers of ``name`` can read it at ``place``."""
        now = [self._now[each] for each in self._readers[name] if each in self._now and each not in besides]
        return all(reads_spaced(reader, name, self.tensors[name], place) for reader in now)

    def _put(self, name: str, place: Slice) -> None:
        tensor = self.tensors[name]
        self.tensors[name] = replace(tensor, place=self.tensors[place.whole].place, slice=place)
        if place.pixel_stride == tensor.channels:
            return
        if name in self._now:
            self._now[name] = pixel_by_pixel(self._now[name], tensor)
        for reader in self._readers[name]:
            if reader in self._now:
                self._now[reader] = spaced(self._now[reader], name, tensor, place)


def _by_channel(result: Tensor, part: Joined) -> bool:
    """Whether parts of the channels of ``result`` are joined."""
    return part.outer == result.rows * result.columns and part.whole == result.channels


def _writes(writer: Step, result: Tensor, part: Joined) -> bool:
    """Whether ``writer`` can write ``result`` as ``part``."""
    dense = part.outer == 1 and not isinstance(writer, CopyStep)
    return dense or writer.strided or writes_pixels(writer, result)


def _place(tensor: Tensor, part: Joined, whole: Tensor) -> Slice | None:
    """Where the elements of ``tensor`` lie in ``whole``, or in what that is a slice of; None where they do not lie in
    rows of pixels."""
    if tensor.border or whole.border:
        return None
    name, start = (whole.slice.whole, whole.slice.start) if whole.slice else (whole.name, 0)
    start += part.start
    row = tensor.columns * tensor.channels
    if whole.slice and (whole.pixel_stride != whole.channels or whole.row_stride != whole.columns * whole.channels):
        same = _by_channel(whole, part) and tensor.rows == whole.rows
        return Slice(name, start, whole.row_stride, whole.pixel_stride) if same else None
    if part.outer == 1:
        return Slice(name, start, row, tensor.channels)
    if part.outer == tensor.rows:
        return Slice(name, start, part.whole, tensor.channels)
    if part.outer == tensor.rows * tensor.columns:
        return Slice(name, start, tensor.columns * part.whole, part.whole)
    return None
