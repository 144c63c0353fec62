"""Memory layouts of the archive, brought to (row, column, channel)."""

from __future__ import annotations

from math import prod

from ellopt.frontends.ell.fields import MAX_ELEMENTS, Fields
from ellopt.model.layers import MemoryLayout, Shape3


def shape3(fields: Fields, values: tuple[int, ...], key: str, fill: int = 1) -> Shape3:
    """Three dimensions: missing leading ones are ``fill``, as ELL does when it widens a shape."""
    while len(values) > 3 and values[0] == fill:
        values = values[1:]
    if not 1 <= len(values) <= 3:
        fields.fail(f"{key} has {len(values)} dimensions; one to three are known")
    padded = (fill,) * (3 - len(values)) + values
    return (padded[0], padded[1], padded[2])


def read_layout(owner: Fields, key: str) -> MemoryLayout:
    """The layout in the field ``key``. The file lists size, extent and offset in the order of memory."""
    fields = owner.object(key)
    size, extent, offset = (fields.integers(name) for name in ("size", "extent", "offset"))
    rank = len(size)
    order = fields.integers("order") if "order" in fields else tuple(range(rank))
    if not len(extent) == len(offset) == len(order) == rank:
        owner.fail(f"{key}: size, extent, offset and order differ in length")
    if sorted(order) != list(range(rank)):
        owner.fail(f"{key}: order {list(order)} is not a permutation")
    missing = max(0, 3 - rank)
    order3 = (*range(missing), *(dimension + missing for dimension in order))
    if rank > 3 and order3[: rank - 3] == tuple(range(rank - 3)):
        order3 = tuple(dimension - (rank - 3) for dimension in order3[rank - 3 :])
    physical_size, physical_extent = shape3(owner, size, key), shape3(owner, extent, key)
    physical_offset = shape3(owner, offset, key, fill=0)
    if len(order3) != 3:
        owner.fail(f"{key} has {rank} dimensions; one to three are known")
    if any(n < 1 for n in physical_size):
        owner.fail(f"{key}: the size {list(size)} is empty")
    for n, whole, first in zip(physical_size, physical_extent, physical_offset, strict=True):
        if n + first > whole:
            owner.fail(f"{key}: size {list(size)} at offset {list(offset)} exceeds the extent {list(extent)}")
    if prod(physical_extent) > MAX_ELEMENTS:
        owner.fail(f"{key}: the extent {list(extent)} is too large")
    layout = MemoryLayout(
        size=_logical(physical_size, order3),
        extent=_logical(physical_extent, order3),
        offset=_logical(physical_offset, order3),
        order=(order3[0], order3[1], order3[2]),
        increment=_increment(physical_extent),
    )
    if "increment" in fields:
        _check_increment(owner, key, fields, layout.increment)
    return layout


def packed_layout(size: Shape3, padding: int = 0) -> MemoryLayout:
    """Row, column, channel with ``padding`` cells on each side of rows and columns."""
    rows, columns, channels = size
    extent = (rows + 2 * padding, columns + 2 * padding, channels)
    return MemoryLayout(size, extent, (padding, padding, 0), (0, 1, 2), _increment(extent))


def flat_layout(elements: int) -> MemoryLayout:
    """Memory as it lies, whatever is in it."""
    return packed_layout((1, 1, elements))


def _logical(physical: Shape3, order: tuple[int, ...]) -> Shape3:
    result = [0, 0, 0]
    for value, dimension in zip(physical, order, strict=True):
        result[dimension] = value
    return (result[0], result[1], result[2])


def _increment(extent: Shape3) -> Shape3:
    return (extent[1] * extent[2], extent[2], 1)


def _check_increment(owner: Fields, key: str, fields: Fields, expected: Shape3) -> None:
    given = fields.integers("increment")
    if given != expected[len(expected) - len(given) :]:
        owner.fail(f"{key}: increment {list(given)} does not follow from the extent; strided buffers are not supported")
