"""Values moved: slices, transpositions, padding, repetition, nearest neighbours; and several put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ellopt.model.layers.base import Tensor
from ellopt.model.layers.general import General, IntArray

#: In a table of ``Remap``: there is no such element.
OUTSIDE = -(1 << 40)


@dataclass(frozen=True, eq=False)
class Remap(General):
    """Element (i, j, ...) of the result is element ``tables[0][i] + tables[1][j] + ...`` of the input, or ``fill``
    where a table says OUTSIDE."""

    tables: tuple[IntArray, ...] = field(kw_only=True)
    fill: float = field(kw_only=True, default=0.0)

    @property
    def row_axis(self) -> int | None:
        """The axis with which a row of the result begins, as those before it count the rows; None if there is none."""
        counts = np.cumprod([1, *map(len, self.tables)]).tolist()
        rows = self.output_layout.size[0]
        return counts.index(rows) if rows in counts[:-1] else None

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        index: IntArray = np.zeros((), np.int64)
        for axis, table in enumerate(self.tables):
            index = index + table.reshape(-1, *(1,) * (len(self.tables) - axis - 1))
        index = index.reshape(-1)
        return np.where(index >= 0, inputs[0][np.maximum(index, 0)], self.fill)


@dataclass(frozen=True, eq=False)
class Concatenation(General):
    """The inputs one after another within each of ``outer`` parts; input k has ``inners[k]`` elements there."""

    outer: int = field(kw_only=True)
    inners: tuple[int, ...] = field(kw_only=True)

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        return np.concatenate([x.reshape(self.outer, -1) for x in inputs], axis=1).reshape(-1)
