"""The code in a program: what its file says may be executed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ellopt.core.errors import ConfigurationError

_LOAD, _EXECUTABLE = 1, 1


def code_words(program: Path) -> tuple[int, ...]:
    """The different 32-bit words in the executable parts of a 64-bit little-endian ELF file, in ascending order.

    Raises ConfigurationError if it is none, OSError.
    """
    data = program.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
        raise ConfigurationError(f"{program} is no 64-bit program")
    offset = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    words: set[int] = set()
    for number in range(count):
        place = offset + number * size
        if place + 56 > len(data):
            raise ConfigurationError(f"{program} is cut off")
        kind, flags, start, _, _, length = struct.unpack_from("<IIQQQQ", data, place)
        if kind == _LOAD and flags & _EXECUTABLE:
            part = data[start : start + length // 4 * 4]
            words.update(np.unique(np.frombuffer(part[: len(part) // 4 * 4], "<u4")).tolist())
    return tuple(sorted(words))
