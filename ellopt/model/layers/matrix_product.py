"""Products of two matrices that are both computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ellopt.model.layers.base import Tensor
from ellopt.model.layers.general import General, strided

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class MatrixProduct(General):
    """``rows`` x ``depth`` times ``depth`` x ``columns``, for each of the ``batches``.

    ``left`` and ``right`` are the strides of the two matrices' own axes, ``left_batches`` and ``right_batches`` those
    along ``batches``, 0 where one matrix serves for all.
    """

    rows: int = field(kw_only=True)
    depth: int = field(kw_only=True)
    columns: int = field(kw_only=True)
    left: Pair = field(kw_only=True)
    right: Pair = field(kw_only=True)
    batches: tuple[int, ...] = field(kw_only=True, default=())
    left_batches: tuple[int, ...] = field(kw_only=True, default=())
    right_batches: tuple[int, ...] = field(kw_only=True, default=())

    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        first = strided(inputs[0], (*self.batches, self.rows, self.depth), (*self.left_batches, *self.left))
        second = strided(inputs[1], (*self.batches, self.depth, self.columns), (*self.right_batches, *self.right))
        found: Tensor = np.matmul(first, second)
        return found.reshape(-1)

    def terms(self, magnitudes: Sequence[Tensor]) -> tuple[Tensor, int]:
        return self.combine(magnitudes), self.depth + 2

    @property
    def multiply_adds(self) -> int:
        return prod(self.batches) * self.rows * self.depth * self.columns
