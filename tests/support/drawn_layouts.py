"""Memory layouts of ``.ell`` archives, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
Draw = st.DrawFn

ORDERS = ((0, 1, 2), (0, 1, 2), (2, 0, 1), (1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0))


@dataclass(frozen=True)
class Layout:
    """A memory layout as the file has it, but in logical order."""

    size: tuple[int, ...]
    extent: tuple[int, ...]
    offset: tuple[int, ...] = (0, 0, 0)
    order: tuple[int, ...] = (0, 1, 2)

    @property
    def elements(self) -> int:
        return prod(self.extent)

    @property
    def json(self) -> Json:
        physical = {name: [getattr(self, name)[d] for d in self.order] for name in ("size", "extent", "offset")}
        _, columns, channels = physical["extent"]
        increment = [columns * channels, channels, 1]
        return {"_type": "MemoryLayout", "_version": "0", **physical, "order": list(self.order), "increment": increment}


def dense(size: Sequence[int]) -> Layout:
    return Layout(tuple(size), tuple(size))


@st.composite
def layouts(draw: Draw, size: tuple[int, ...], mostly_dense: bool = True) -> Layout:
    """A layout of a tensor of ``size``: dense, with a border as layers have it, or with any border and order."""
    how = draw(st.sampled_from(("dense", "dense", "border", "any") if mostly_dense else ("border", "any")))
    if how == "dense":
        return dense(size)
    if how == "border":
        padding = draw(st.integers(1, 3))
        return Layout(size, (size[0] + 2 * padding, size[1] + 2 * padding, size[2]), (padding, padding, 0))
    before, behind = (tuple(draw(st.integers(0, 2)) for _ in size) for _ in range(2))
    extent = tuple(n + b + a for n, b, a in zip(size, before, behind, strict=True))
    return Layout(size, extent, before, draw(st.sampled_from(ORDERS)))


@st.composite
def layouts_of_elements(draw: Draw, elements: int) -> Layout:
    """Another way to look at a buffer of ``elements``."""
    divisors = [n for n in range(1, elements + 1) if elements % n == 0]
    rows = draw(st.sampled_from(divisors))
    columns = draw(st.sampled_from([n for n in divisors if elements // rows % n == 0]))
    extent = (rows, columns, elements // rows // columns)
    if draw(st.booleans()):
        return dense(extent)
    offset = tuple(draw(st.integers(0, (n - 1) // 2)) for n in extent)
    size = tuple(draw(st.integers(1, n - o)) for n, o in zip(extent, offset, strict=True))
    return Layout(size, extent, offset, draw(st.sampled_from(ORDERS)))
