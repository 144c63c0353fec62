"""The file of weights: sections of float32 at multiples of 64 bytes, equal ones stored once."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import numpy as np

from ellopt.model.layers import FloatArray

ALIGNMENT = 16  # floats


class WeightFile:
    """Writes sections to a binary stream. Little-endian, as all targets are."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._offsets: dict[bytes, int] = {}
        self.floats = 0

    def add(self, values: FloatArray, multiple: int = ALIGNMENT) -> int:
        """Store ``values``, flat and filled up with zeros to a ``multiple`` of floats. Returns the offset in floats."""
        flat = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
        data = flat.data.cast("B")
        digest = hashlib.blake2b(data, digest_size=16, salt=multiple.to_bytes(16, "little")).digest()
        if digest in self._offsets:
            return self._offsets[digest]
        offset = self.floats
        size = -(-flat.size // multiple) * multiple
        size = -(-size // ALIGNMENT) * ALIGNMENT
        self._stream.write(data)
        self._stream.write(bytes(4 * (size - flat.size)))
        self.floats += size
        self._offsets[digest] = offset
        return offset
