"""Nested loops over strided values, and the same with fewer axes."""

from __future__ import annotations

from collections.abc import Sequence


def collapsed(counts: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The same loops with as few axes as can be."""
    kept: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, count in enumerate(counts):
        if count == 1:
            continue
        if kept and all(s[-1] == own[axis] * count for s, own in zip(steps, strides, strict=True)):
            kept[-1] *= count
            for s, own in zip(steps, strides, strict=True):
                s[-1] = own[axis]
            continue
        kept.append(count)
        for s, own in zip(steps, strides, strict=True):
            s.append(own[axis])
    return kept, steps
