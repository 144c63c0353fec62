"""The code in a program: what its file says may be executed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ellopt.core.errors import ConfigurationError
from ellopt.estimate.instruction import InstructionSet

_LOAD, _EXECUTABLE = 1, 1


@dataclass(frozen=True)
class _Layout:
    """Of a file's header: its class and machine, and where entry, program headers and their sizes are. Of a program
    header: its format, and the places of kind, flags, offset and length among its values."""

    bits: int
    file_class: int
    machine: int
    entry: tuple[str, int]
    headers: tuple[str, int]
    sizes: int
    header: str
    places: tuple[int, int, int, int]


_LAYOUTS: dict[InstructionSet, _Layout] = {
    "a64": _Layout(64, 2, 183, ("<Q", 24), ("<Q", 32), 54, "<IIQQQQ", (0, 1, 2, 5)),
    "a32": _Layout(32, 1, 40, ("<I", 24), ("<I", 28), 42, "<IIIIIII", (0, 6, 1, 4)),
}


def code_words(program: Path, code: InstructionSet = "a64") -> tuple[int, ...]:
    """The different 32-bit words in the executable parts of a little-endian ELF file, in ascending order.

    Raises ConfigurationError if it is none of the instruction set ``code``, OSError.
    """
    data, layout = program.read_bytes(), _LAYOUTS[code]
    if data[:6] != b"\x7fELF" + bytes((layout.file_class, 1)) or len(data) < 64:
        raise ConfigurationError(f"{program} is no {layout.bits}-bit program")
    if struct.unpack_from("<H", data, 18)[0] != layout.machine:
        raise ConfigurationError(f"{program} is not for ARM")
    if code == "a32" and struct.unpack_from(layout.entry[0], data, layout.entry[1])[0] & 1:
        raise ConfigurationError(f"{program} is Thumb code, and of 32-bit code only ARM's is simulated")
    [offset] = struct.unpack_from(layout.headers[0], data, layout.headers[1])
    size, count = struct.unpack_from("<HH", data, layout.sizes)
    words: set[int] = set()
    for number in range(count):
        place = offset + number * size
        if place + struct.calcsize(layout.header) > len(data):
            raise ConfigurationError(f"{program} is cut off")
        values = struct.unpack_from(layout.header, data, place)
        kind, flags, start, length = (values[i] for i in layout.places)
        if kind == _LOAD and flags & _EXECUTABLE:
            part = data[start : start + length // 4 * 4]
            words.update(np.unique(np.frombuffer(part[: len(part) // 4 * 4], "<u4")).tolist())
    return tuple(sorted(words))
