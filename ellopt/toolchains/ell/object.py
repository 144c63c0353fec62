"""Renames the symbols that an ELF object defines, so that models of one interface can be linked into one program.

Every model that ELL compiles defines ``ELL_Predict`` and its helpers under the same names. What an object only uses
(the C library, BLAS) keeps its name. Layout: System V ABI, chapter 4 (object files).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SYMTAB = 2
_LOCAL = 0
_UNDEFINED = 0


@dataclass(frozen=True)
class _Layout:
    """Where fields lie in 32-bit and 64-bit files."""

    section_offset_at: int
    section_count_at: int
    section: str
    symbol: str
    address: str


_LAYOUTS = {
    1: _Layout(0x20, 0x30, "IIIIIIIIII", "IIIBBH", "I"),
    2: _Layout(0x28, 0x3C, "IIQQQQIIQQ", "IBBHQQ", "Q"),
}


def is_elf(data: bytes) -> bool:
    return len(data) > 5 and data[:4] == b"\x7fELF" and data[4] in _LAYOUTS and data[5] in (1, 2)


def rename_symbols(data: bytes, prefix: str) -> tuple[bytes, tuple[str, ...]]:
    """The object with ``prefix`` before every global symbol that it defines, and the old names of those.

    Raises ValueError for what is no relocatable ELF object.
    """
    if not is_elf(data):
        raise ValueError("no ELF object")
    try:
        return _rename(data, prefix)
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"a damaged ELF object: {error}") from error


def _rename(data: bytes, prefix: str) -> tuple[bytes, tuple[str, ...]]:
    layout = _LAYOUTS[data[4]]
    order = "<" if data[5] == 1 else ">"
    is_64 = data[4] == 2
    section, symbol = struct.Struct(order + layout.section), struct.Struct(order + layout.symbol)
    (table,) = struct.unpack_from(order + layout.address, data, layout.section_offset_at)
    (count,) = struct.unpack_from(order + "H", data, layout.section_count_at)
    if count == 0 or table + count * section.size > len(data):
        raise ValueError("it has no sections")
    sections = [list(section.unpack_from(data, table + i * section.size)) for i in range(count)]
    result = bytearray(data)
    renamed: list[str] = []
    for header in sections:
        _, kind, _, _, offset, size, link, *_ = header
        if kind != _SYMTAB:
            continue
        strings = sections[link]
        names = bytearray(data[strings[4] : strings[4] + strings[5]])
        for at in range(offset, offset + size, symbol.size):
            fields = list(symbol.unpack_from(data, at))
            info, index = (fields[1], fields[3]) if is_64 else (fields[3], fields[5])
            if info >> 4 == _LOCAL or index == _UNDEFINED:
                continue
            name = bytes(names[fields[0] : names.index(0, fields[0])])
            fields[0] = len(names)
            names += prefix.encode() + name + b"\0"
            symbol.pack_into(result, at, *fields)
            renamed.append(name.decode())
        # The longer table of strings goes to the end of the file; the old one is left behind.
        strings[4], strings[5] = len(result), len(names)
        section.pack_into(result, table + link * section.size, *strings)
        result += names
    return bytes(result), tuple(renamed)
