"""Loads and stores of general registers."""

from __future__ import annotations

from ellopt.estimate.a32.registers import PC, general, listed
from ellopt.estimate.instruction import NO, Instruction, Kind, bits

_SINGLE_COPY = (0b1100, 0b1110, 0b1111)  # acquiring or releasing, exclusive and that, exclusive


def access(
    kinds: tuple[Kind, Kind], load: bool, data: tuple[int, ...], address: tuple[int, ...], writeback: int,
    moved: int = 1, *, wide: bool = False, keeps: tuple[int, ...] = (), jumps: bool = False,
) -> Instruction:  # fmt: skip
    """A load of the first of ``kinds`` or a store of the second. ``keeps``: what a load leaves of its target."""
    changed = () if writeback == NO else (writeback,)
    if load:
        sources, targets = (*keeps, *address), (*data, *changed)
        return Instruction(kinds[0], sources, targets, writeback=writeback, wide=wide, moved=moved, jumps=jumps)
    return Instruction(kinds[1], (*data, *address), changed, writeback=writeback, wide=wide, moved=moved)


def _general(
    load: bool, data: tuple[int, ...], address: tuple[int, ...], writeback: int, moved: int = 1, jumps: bool = False
) -> Instruction:
    return access(("load_x", "store_x"), load, data, address, writeback, moved, jumps=jumps)


def _changed(word: int) -> int:
    """The base register, where it is changed before or after."""
    n = bits(word, 19, 16)
    return n if n != PC and (not bits(word, 24, 24) or bits(word, 21, 21)) else NO


def word_or_byte(word: int) -> Instruction:
    load, t = bool(bits(word, 20, 20)), bits(word, 15, 12)
    index = general(bits(word, 3, 0)) if bits(word, 25, 25) else ()
    address = (*general(bits(word, 19, 16)), *index)
    return _general(load, general(t), address, _changed(word), jumps=load and t == PC)


def half_or_dual(word: int) -> Instruction:
    """Of half words, signed bytes and two words."""
    form, load, t = bits(word, 6, 5), bool(bits(word, 20, 20)), bits(word, 15, 12)
    index = () if bits(word, 22, 22) else general(bits(word, 3, 0))
    address = (*general(bits(word, 19, 16)), *index)
    if form != 0b01 and not load:
        return _general(form == 0b10, general(t, t + 1), address, _changed(word), 2)
    return _general(load, general(t), address, _changed(word))


def exclusive(word: int) -> Instruction:
    """Exclusive, acquiring and releasing accesses."""
    form, load, size = bits(word, 11, 8), bool(bits(word, 20, 20)), bits(word, 22, 21)
    if not bits(word, 23, 23) or form not in _SINGLE_COPY:  # a swap, which processors no longer have
        return Instruction("unknown")
    t = bits(word, 15, 12) if load else bits(word, 3, 0)
    data = general(t, t + 1) if size == 0b01 else general(t)
    address = general(bits(word, 19, 16))
    if load or form == 0b1100:
        return _general(load, data, address, NO, len(data))
    return Instruction("store_x", (*data, *address), general(bits(word, 15, 12)), moved=len(data))


def multiple(word: int) -> Instruction:
    """Several registers, and with the program counter a return. Those of other modes are unknown."""
    load, n, registers = bool(bits(word, 20, 20)), bits(word, 19, 16), bits(word, 15, 0)
    if bits(word, 22, 22) or not registers or n == PC:
        return Instruction("unknown")
    writeback = n if bits(word, 21, 21) else NO
    moved = registers.bit_count()
    return _general(load, listed(registers), (n,), writeback, moved, jumps=load and bool(registers >> PC))
