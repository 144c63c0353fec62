"""Values moved, in ELL's nodes: a layout says what is read, another where it is put, and ReorderDataCodeNode copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ellopt.frontends.ell.layouts import packed_layout
from ellopt.frontends.onnx.refusals import Refused
from ellopt.model.layers import OUTSIDE, IntArray, MemoryLayout, Shape3

if TYPE_CHECKING:
    from ellopt.frontends.ell.write import Writer

#: More ranges are not written into a port.
_MOST_RANGES = 4096


@dataclass(frozen=True)
class _Axis:
    """``count`` elements, from element ``start`` on ``step`` apart, with cells of fill before and behind."""

    count: int
    start: int
    step: int
    before: int = 0
    behind: int = 0

    @property
    def padded(self) -> bool:
        return self.before + self.behind > 0


def index_of(tables: Sequence[IntArray]) -> IntArray:
    """The place of every element in what is read; negative where there is none."""
    index: IntArray = np.zeros((), np.int64)
    for axis, table in enumerate(tables):
        index = index + table.reshape(-1, *(1,) * (len(tables) - axis - 1))
    return index.reshape(-1)


def moved(w: Writer, source: str, elements: int, tables: Sequence[IntArray], fill: float, written: MemoryLayout) -> str:
    """What a Remap of dense memory makes. Raises Refused for what neither layouts nor a list of ranges can say."""
    for k in range(len(tables) - 1, -1, -1):
        found = _stuffed(tables[k])
        if found is not None and fill == 0:
            source, elements, tables = _spread(w, source, elements, tables, k, *found)
    aligned = [_aligned(table) for table in tables]
    if any(before or behind for _, before, behind in aligned):
        full = tuple(table for table, _, _ in aligned)
        whole = int(np.prod([len(table) for table in full]))
        source = moved(w, source, elements, full, fill, packed_layout((1, 1, whole)))
        step, elements, cropped = whole, whole, []
        for table, before, behind in aligned:
            step //= len(table)
            cropped.append(np.arange(before, len(table) - behind) * step)
        tables = cropped
    tables = [part for table in tables for part in (_split(table) or [table])]
    axes = [_axis(table) for table in tables]
    if all(axis is not None for axis in axes):
        kept = _joined([axis for axis in axes if axis is not None])
        made = _reordered(w, source, elements, kept, fill) or _permuted(w, source, elements, kept)
        if made:
            return w.reinterpret(made, written)
    index = index_of(tables)
    breaks = np.flatnonzero(np.diff(index) != 1)
    if (index < 0).any() or len(breaks) >= _MOST_RANGES:
        raise Refused("ELL has no node that moves values so")
    firsts = [0, *(breaks + 1)]
    lasts = [*breaks, len(index) - 1]
    ranges = (f"{source}.output[{index[a]}:{index[b] + 1}]" for a, b in zip(firsts, lasts, strict=True))
    return w.add("ConcatenationNode", {"input": "{" + ", ".join(ranges) + "}"}, shape=list(written.size))


def _aligned(table: IntArray) -> tuple[IntArray, int, int]:
    """A table that goes through phases, begun and ended with a whole round of them, and how many are too many."""
    if _axis(table) is not None or len(table) < 3 or (table == OUTSIDE).any():
        return table, 0, 0
    steps = np.diff(table)
    values, counts = np.unique(steps, return_counts=True)
    inner = int(values[counts.argmax()]) if len(values) == 2 else int(steps[0])
    jumps = np.flatnonzero(steps != inner)
    if len(values) != 2 or not len(jumps):
        return table, 0, 0
    if len(jumps) == len(steps) // 2 or len(jumps) == (len(steps) + 1) // 2:  # two phases: either may be the jump
        inner = int(values.max()) if abs(values.max()) < abs(values.min()) else int(values.min())
        jumps = np.flatnonzero(steps != inner)
    jump, phases = int(steps[jumps[0]]), int(jumps[1] - jumps[0]) if len(jumps) > 1 else 0
    if not phases or (np.diff(jumps) != phases).any() or (steps[jumps] != jump).any():
        return table, 0, 0
    before, behind = (phases - 1 - int(jumps[0])) % phases, (phases - 1 - (len(table) - 2 - int(jumps[-1]))) % phases
    front = table[0] - inner * np.arange(before, 0, -1)
    back = table[-1] + inner * np.arange(1, behind + 1)
    whole = np.concatenate([front, table, back]).astype(np.int64)
    return (table, 0, 0) if (whole < 0).any() else (whole, before, behind)


def _axis(table: IntArray) -> _Axis | None:
    inside = np.flatnonzero(table != OUTSIDE)
    if not len(inside) or inside[-1] - inside[0] + 1 != len(inside):
        return None
    places = table[inside[0] : inside[-1] + 1]
    steps = np.diff(places)
    if len(steps) and ((steps != steps[0]).any() or steps[0] <= 0):
        return None
    step = int(steps[0]) if len(steps) else 0
    return _Axis(len(places), int(places[0]), step, int(inside[0]), len(table) - 1 - int(inside[-1]))


def _split(table: IntArray) -> list[IntArray]:
    """One table that is a transposition of two or three axes as a table for each."""
    tables: list[IntArray] = []
    rest = table
    while len(rest) > 1:
        steps = np.diff(rest)
        jump = np.flatnonzero(steps != steps[0])
        count = int(jump[0]) + 1 if len(jump) else len(rest)
        if len(rest) % count or len(tables) > 3:
            return []
        tables.insert(0, rest[:count] - (rest[0] if len(rest) > count else 0))
        rest = rest[::count]
    found = index_of(tables) if tables else table
    return tables if np.array_equal(found, table) else []


def _stuffed(table: IntArray) -> tuple[int, int] | None:
    """The distance of values with nothing between them, and how far apart they are read; None for other tables."""
    inside = np.flatnonzero(table != OUTSIDE)
    if len(inside) < 2 or inside[1] - inside[0] < 2:
        return None
    apart = int(inside[1] - inside[0])
    steps = np.diff(table[inside])
    if (np.diff(inside) != apart).any() or (steps != steps[0]).any():
        return None
    return apart, int(steps[0])


def _spread(
    w: Writer, source: str, elements: int, tables: Sequence[IntArray], which: int, apart: int, step: int
) -> tuple[str, int, list[IntArray]]:
    """Memory with ``apart`` - 1 zeros behind every ``step`` elements, and the tables that read it."""
    blocks = elements // step
    read = packed_layout((blocks, 1, step))
    size: Shape3 = (blocks, apart, step)
    written = replace(packed_layout(size), size=read.size)
    spread = w.reorder(w.reinterpret(source, read), read, written)
    changed = []
    for k, table in enumerate(tables):
        outside = table == OUTSIDE
        block, rest = np.divmod(np.where(outside, 0, table), step)
        places = block * step * apart + rest
        if k == which:
            inside = np.flatnonzero(~outside)
            first, last = int(inside[0]), min(len(table), int(inside[-1]) + apart)
            places = np.arange(len(table)) - first
            places = places * step + int(table[first] // step * step * apart + table[first] % step)
            outside = np.zeros(len(table), bool)
            outside[:first] = outside[last:] = True
        changed.append(np.where(outside, OUTSIDE, places))
    return spread, elements * apart, changed


def _joined(axes: list[_Axis]) -> list[_Axis]:
    """The same with as few axes as can be."""
    kept: list[_Axis] = []
    offset = 0
    for axis in axes:
        if axis.count == 1 and not axis.padded:
            offset += axis.start
            continue
        last = kept[-1] if kept else None
        if last and not last.padded and not axis.padded and last.step == axis.step * axis.count and axis.count > 1:
            kept[-1] = _Axis(last.count * axis.count, last.start + axis.start, axis.step)
        else:
            kept.append(axis)
    if not kept:
        return [_Axis(1, offset, 1)]
    return [replace(kept[0], start=kept[0].start + offset), *kept[1:]]


def _reordered(w: Writer, source: str, elements: int, axes: list[_Axis], fill: float) -> str:
    """A copy by two layouts of three dimensions, empty where they cannot say it."""
    steps = _steps(axes, elements)
    if not steps or len(steps) > 3:
        return ""
    steps = [*[0] * (3 - len(steps)), *steps]
    extents = [elements // steps[k] if not k or not steps[k - 1] else steps[k - 1] // steps[k] for k in _real(steps)]
    extents = [*[1] * (3 - len(extents)), *extents]
    by_step: dict[int, _Axis] = {}
    for axis in axes:
        if (axis.step or 1) in by_step and axis.count > 1:
            return ""
        by_step[axis.step or 1] = axis
    offset = sum(axis.start for axis in axes)
    size, first, before, behind = [1] * 3, [0] * 3, [0] * 3, [0] * 3
    for k in _real(steps):
        first[k], offset = divmod(offset, steps[k])
        if (found := by_step.get(steps[k])) is not None:
            size[k], before[k], behind[k] = found.count, found.before, found.behind
        if first[k] + size[k] > extents[k]:
            return ""
    read = _layout(size, extents, first, (0, 1, 2))
    order = [steps.index(axis.step or 1) for axis in axes]
    order = [*(k for k in range(3) if k not in order), *order]
    whole = [n + b + a for n, b, a in zip(size, before, behind, strict=True)]
    written = _layout(size, whole, before, (order[0], order[1], order[2]))
    if read == written:
        return source
    return w.reorder(w.reinterpret(source, read), read, written, fill)


def _permuted(w: Writer, source: str, elements: int, axes: list[_Axis]) -> str:
    """A transposition of any number of axes, by two copies for each axis that goes to another place; empty where it is
    none."""
    order = sorted(range(len(axes)), key=lambda k: -axes[k].step)
    step = 1
    for k in reversed(order):
        if axes[k].step != step or axes[k].padded or axes[k].start:
            return ""
        step *= axes[k].count
    if step != elements:
        return ""
    for place, wanted in enumerate(range(len(axes))):
        at = order.index(wanted)
        if at == place:
            continue
        before, between, own = (_count(axes, part) for part in (order[:place], order[place:at], [wanted]))
        rest = elements // before // between // own
        source = _swapped(w, source, (before * between, own, rest))
        source = _swapped(w, source, (own, before, between * rest))
        order.insert(place, order.pop(at))
    return source


def _count(axes: list[_Axis], chosen: list[int]) -> int:
    return int(np.prod([axes[k].count for k in chosen], dtype=np.int64))


def _swapped(w: Writer, source: str, size: Shape3) -> str:
    """Dense memory with its first two axes exchanged."""
    read, written = packed_layout(size), _layout(list(size), list(size), [0, 0, 0], (1, 0, 2))
    return w.reorder(w.reinterpret(source, read), read, written)


def _real(steps: list[int]) -> list[int]:
    return [k for k, step in enumerate(steps) if step]


def _steps(axes: list[_Axis], elements: int) -> list[int]:
    """The steps of the dimensions of what is read, outermost first; empty where they do not divide each other."""
    steps = sorted({axis.step or 1 for axis in axes} | {1}, reverse=True)
    whole = elements
    for step in steps:
        if whole % step:
            return []
        whole = step
    return steps


def _layout(size: list[int], extent: list[int], offset: list[int], order: Shape3) -> MemoryLayout:
    physical = packed_layout((extent[order[0]], extent[order[1]], extent[order[2]]))
    return MemoryLayout(
        (size[0], size[1], size[2]),
        (extent[0], extent[1], extent[2]),
        (offset[0], offset[1], offset[2]),
        order,
        physical.increment,
    )


def joined(w: Writer, parts: Sequence[tuple[str, int]], outer: int) -> str:
    """Dense memory of ``outer`` lines, each of which has a line of every part, with so many elements, in turn."""
    total = sum(inner for _, inner in parts)
    if outer == 1:
        return _spliced(w, [source for source, _ in parts])
    columns = []
    for source, inner in parts:
        read = packed_layout((1, outer, inner))
        written = _layout([1, outer, inner], [1, outer, inner], [0, 0, 0], (0, 2, 1))
        columns.append(w.reorder(w.reinterpret(source, read), read, written))
    read = _layout([1, outer, total], [1, outer, total], [0, 0, 0], (0, 2, 1))
    flat = w.reinterpret(_spliced(w, columns), read)
    return w.reorder(flat, read, packed_layout((1, outer, total)))


def _spliced(w: Writer, sources: list[str]) -> str:
    ports = {f"input_{k}": source for k, source in enumerate(sources)}
    return w.add("SpliceNode", ports, numInputs=len(sources))
