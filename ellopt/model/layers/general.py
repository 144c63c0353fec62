"""What kinds over tensors of any rank share: they are loops over the dense memory of their inputs.

Their inputs are read flat, in the order in which they lie in memory; so is what they write. Which axis of a file's
tensor lies where is the frontend's affair: it gives counts and strides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ellopt.model.layers.base import FloatArray, Node, Tensor

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class General(Node):
    """A kind over dense memory. Unless it says otherwise it rounds nothing."""

    @abstractmethod
    def combine(self, inputs: Sequence[Tensor]) -> Tensor:
        """The output, flat, from its flat inputs."""

    def compute(self, buffers: Sequence[FloatArray]) -> Tensor:
        return self.combine(self._flat(buffers)).reshape(self.output_layout.size)

    def first_terms(self, magnitudes: Sequence[FloatArray]) -> tuple[Tensor, int]:
        found, terms = self.terms(self._flat(magnitudes))
        return np.broadcast_to(found, self.output_layout.elements).reshape(self.output_layout.size), terms

    def terms(self, magnitudes: Sequence[Tensor]) -> tuple[Tensor, int]:
        """As ``first_terms``, flat."""
        return np.zeros(1), 0

    @property
    def parameters(self) -> int:
        """What it holds are places and shares, not trained numbers."""
        return 0

    def _flat(self, buffers: Sequence[FloatArray]) -> list[Tensor]:
        return [self.inside(buffers, k).reshape(-1) for k in range(len(self.inputs))]


def strided(values: Tensor, counts: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Flat ``values`` as a tensor of ``counts`` with ``strides`` in elements."""
    return np.lib.stride_tricks.as_strided(values, counts, [n * values.itemsize for n in strides], writeable=False)
