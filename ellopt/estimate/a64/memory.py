"""Loads and stores."""

from __future__ import annotations

from ellopt.estimate.a64.registers import general, vector
from ellopt.estimate.instruction import NO, Instruction, Kind, bits

#: opcode of a structure access -> (registers, whether their elements are interleaved)
_STRUCTURES = {
    0b0000: (4, True), 0b0010: (4, False), 0b0100: (3, True), 0b0110: (3, False), 0b0111: (1, False),
    0b1000: (2, True), 0b1010: (2, False),
}  # fmt: skip


def memory(word: int) -> Instruction:
    group = bits(word, 29, 27)
    if group == 0b101:
        return _pair(word)
    if group == 0b111:
        return _single(word)
    if group == 0b011 and not bits(word, 24, 24):
        return _literal(word)
    if group == 0b001 and bits(word, 26, 26):
        return _structure(word)
    return _ordered(word)


def _access(
    load: bool,
    data: tuple[int, ...],
    address: tuple[int, ...],
    *,
    floats: bool,
    writeback: int = NO,
    wide: bool = False,
    x: bool = False,
    moved: int = 1,
) -> Instruction:
    kinds: dict[tuple[bool, bool], Kind] = {
        (True, True): "load_v", (True, False): "load_x", (False, True): "store_v", (False, False): "store_x",
    }  # fmt: skip
    return _of_kind(kinds[load, floats], load, data, address, writeback, wide, x, moved)


def _of_kind(
    kind: Kind,
    load: bool,
    data: tuple[int, ...],
    address: tuple[int, ...],
    writeback: int,
    wide: bool,
    x: bool,
    moved: int,
) -> Instruction:
    changed = () if writeback == NO else (writeback,)
    if load:
        return Instruction(kind, address, (*data, *changed), writeback=writeback, wide=wide, x=x, moved=moved)
    return Instruction(kind, (*data, *address), changed, writeback=writeback, wide=wide, x=x, moved=moved)


def _pair(word: int) -> Instruction:
    size, floats, load, n = bits(word, 31, 30), bool(bits(word, 26, 26)), bool(bits(word, 22, 22)), bits(word, 9, 5)
    numbers = (word & 31, bits(word, 14, 10))
    writeback = n if bits(word, 23, 23) and bits(word, 24, 23) in (0b01, 0b11) else NO
    data = vector(*numbers) if floats else general(*numbers)
    wide, x = floats and size == 0b10, not floats and size != 0b00
    return _access(load, data, (n,), floats=floats, writeback=writeback, wide=wide, x=x, moved=2)


def _single(word: int) -> Instruction:
    size, floats, operation, n = bits(word, 31, 30), bool(bits(word, 26, 26)), bits(word, 23, 22), bits(word, 9, 5)
    address: tuple[int, ...] = (n,)
    writeback = NO
    if not bits(word, 24, 24):
        form = bits(word, 11, 10)
        if bits(word, 21, 21):
            if form == 0b00 and not floats:  # an atomic operation
                return Instruction(
                    "load_x", (*general(bits(word, 20, 16)), n), general(word & 31), x=size == 3, moved=1
                )
            if form == 0b10:
                address = (n, *general(bits(word, 20, 16)))
        elif form & 1:
            writeback = n
    if not floats and size == 0b11 and operation == 0b10:
        return Instruction("prefetch", address)
    data = vector(word & 31) if floats else general(word & 31)
    load = bool(operation & 1) if floats else operation != 0
    wide = floats and size == 0 and operation >= 0b10
    x = not floats and (size == 0b11 or operation == 0b10)
    return _access(load, data, address, floats=floats, writeback=writeback, wide=wide, x=x)


def _literal(word: int) -> Instruction:
    floats, size = bool(bits(word, 26, 26)), bits(word, 31, 30)
    if not floats and size == 0b11:
        return Instruction("prefetch")
    data = vector(word & 31) if floats else general(word & 31)
    return _access(True, data, (), floats=floats, wide=floats and size == 0b10, x=not floats and size != 0)


def _structure(word: int) -> Instruction:
    wide, load, n, m = bool(bits(word, 30, 30)), bool(bits(word, 22, 22)), bits(word, 9, 5), bits(word, 20, 16)
    post = bool(bits(word, 23, 23))
    address = (n, *general(m)) if post else (n,)
    writeback = n if post else NO
    kind: Kind
    if not bits(word, 24, 24):
        count, interleaved = _STRUCTURES.get(bits(word, 15, 12), (1, False))
        whole: tuple[Kind, Kind] = ("load_v", "store_v")
        kind = (("load_interleaved", "store_interleaved") if interleaved else whole)[not load]
        data = vector(*range(word & 31, (word & 31) + count))
        return _of_kind(kind, load, data, address, writeback, wide, False, count)
    operation = bits(word, 15, 13)
    count = ((operation & 1) << 1 | bits(word, 21, 21)) + 1
    data = vector(*range(word & 31, (word & 31) + count))
    if operation >= 0b110:
        return _of_kind("load_dup", load, data, address, writeback, wide, False, count)
    kind = "load_lane" if load else "store_lane"
    sources = (*data, *address) if load else address  # the other lanes stay
    return _of_kind(kind, load, data, sources, writeback, False, False, count)


def _ordered(word: int) -> Instruction:
    """Exclusive, acquiring and releasing accesses."""
    size, load, n, t = bits(word, 31, 30), bool(bits(word, 22, 22)), bits(word, 9, 5), word & 31
    x = size == 0b11
    if bits(word, 29, 24) != 0b001000:
        load = bits(word, 23, 22) != 0
        return _access(load, general(t), (n,), floats=False, x=x)
    if bits(word, 23, 21) in (0b101, 0b111):  # compare and swap
        status = general(bits(word, 20, 16))
        return Instruction("load_x", (*status, *general(t), n), status, x=x, moved=1)
    if load:
        return _access(True, general(t), (n,), floats=False, x=x)
    status = () if bits(word, 23, 23) else general(bits(word, 20, 16))
    return Instruction("store_x", (*general(t), n), status, x=x, moved=1)
