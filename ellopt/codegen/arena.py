"""Where the intermediate results lie: buffers whose lives do not overlap share memory.

Greedy by size: the largest buffer first, each in the first region that is free for its whole life ("shared objects" of
Pisarchyk, Lee: "Efficient Memory Management for Deep Neural Net Inference", 2020). A buffer lies in the middle of its
region. So where two cores compute the upper and the lower rows of every layer, a cache line is always written by the
same one, and needs not move between their caches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ellopt.codegen.network import Step, Tensor

ALIGNMENT = 16  # floats: a cache line
_SLACK = 16  # floats behind each buffer


@dataclass
class _Buffer:
    """Memory for tensors that take turns in it; ``first`` and ``last`` step of its life."""

    tensors: list[str]
    floats: int
    first: int
    last: int
    offset: int = 0


def last_reads(
    steps: Sequence[Step], tensors: Mapping[str, Tensor], chains: Iterable[Sequence[int]] = ()
) -> dict[str, int]:
    """By buffer the place of the last step that may run while it is needed: steps of a chain take turns."""
    ends = {i: chain[-1] for chain in chains for i in chain}
    return {tensors[name].buffer: ends.get(i, i) for i, step in enumerate(steps) for name in step.inputs}


def plan_arena(
    steps: Sequence[Step], tensors: Mapping[str, Tensor], chains: Iterable[Sequence[int]] = ()
) -> tuple[list[Step], dict[str, Tensor], int]:
    """Give every tensor of the arena its offset. Returns steps, tensors and the arena's size in floats.

    ``chains``: places of steps that take turns (bands.py)."""
    last_read = last_reads(steps, tensors, chains)
    buffers: dict[str, _Buffer] = {}
    for i, step in enumerate(steps):
        whole = tensors[step.output].buffer
        tensor = tensors[whole]
        if tensor.place != "arena" or whole in buffers:
            continue  # of a tensor that is written in slices the first makes its buffer
        last = last_read.get(whole, i)
        host = next((name for name in step.inputs if _in_place(step, tensors, name, i, last_read)), None)
        if host is not None and host in buffers:
            buffer = buffers[host]
            buffer.tensors.append(step.output)
            buffer.last = max(buffer.last, last)
        else:
            size = -(-(tensor.floats + _SLACK) // ALIGNMENT) * ALIGNMENT
            buffer = _Buffer([whole], size, i, last)
        buffers[whole] = buffer
    unique = list({id(buffer): buffer for buffer in buffers.values()}.values())
    floats = _place(unique)
    planned = dict(tensors)
    for name, tensor in tensors.items():
        base = buffers[tensor.buffer].offset if tensor.buffer in buffers else 0
        start = tensor.slice.start if tensor.slice else tensor.origin
        planned[name] = replace(tensor, offset=base + start)
    return list(steps), planned, floats


def _in_place(step: Step, tensors: Mapping[str, Tensor], name: str, i: int, last_read: Mapping[str, int]) -> bool:
    """Whether ``step`` may write over its input ``name``: element by element, same form, not read again."""
    source, result = tensors[name], tensors[step.output]
    if not step.may_overwrite(name) or last_read[source.buffer] != i:
        return False
    return (
        not result.slice
        and not source.slice
        and source.place == "arena"
        and source.border == result.border
        and (source.rows, source.columns, source.channels) == (result.rows, result.columns, result.channels)
    )


def _place(buffers: Sequence[_Buffer]) -> int:
    """Give every buffer its offset; returns the floats of all."""
    regions: list[list[_Buffer]] = []
    for buffer in sorted(buffers, key=lambda b: (-b.floats, b.first)):
        region = next((r for r in regions if not any(_overlap(buffer, other) for other in r)), None)
        if region is None:
            regions.append([buffer])
        else:
            region.append(buffer)
    start = 0
    for region in regions:
        size = region[0].floats
        for buffer in region:
            buffer.offset = start + (size - buffer.floats) // 2 // ALIGNMENT * ALIGNMENT
        start += size
    return start


def _overlap(a: _Buffer, b: _Buffer) -> bool:
    return a.first <= b.last and b.first <= a.last
