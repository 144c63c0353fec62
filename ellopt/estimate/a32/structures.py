"""Loads and stores of vectors: several registers, structures, one lane, all lanes."""

from __future__ import annotations

from ellopt.estimate.a32.memory import access
from ellopt.estimate.a32.registers import PC, SP, double, general, lane
from ellopt.estimate.instruction import NO, Instruction, Kind, bits

#: type of an access -> (registers, how far apart the elements' are, whether they are interleaved)
_TYPES = {
    0b0111: (1, 1, False), 0b1010: (2, 1, False), 0b0110: (3, 1, False), 0b0010: (4, 1, False),
    0b1000: (2, 1, True), 0b1001: (2, 2, True), 0b0011: (4, 1, True),
    0b0100: (3, 1, True), 0b0101: (3, 2, True), 0b0000: (4, 1, True), 0b0001: (4, 2, True),
}  # fmt: skip


def structure(word: int) -> Instruction:
    load, n, m = bool(bits(word, 21, 21)), bits(word, 19, 16), bits(word, 3, 0)
    first = bits(word, 22, 22) << 4 | bits(word, 15, 12)
    address = general(n, *(() if m in (PC, SP) else (m,)))
    writeback = NO if m == PC else n
    if bits(word, 23, 23):
        return _elements(word, load, first, address, writeback)
    count, step, interleaved = _TYPES.get(bits(word, 11, 8), (0, 1, False))
    if not count or first + (count - 1) * step > 31:
        return Instruction("unknown")
    data = double(*range(first, first + count * step, step))
    whole: tuple[Kind, Kind] = ("load_v", "store_v")
    kinds: tuple[Kind, Kind] = ("load_interleaved", "store_interleaved") if interleaved else whole
    wide = not count & 1  # two registers are as one of 128 bits
    return access(kinds, load, data, address, writeback, count // 2 if wide else count, wide=wide)


def _elements(word: int, load: bool, first: int, address: tuple[int, ...], writeback: int) -> Instruction:
    size, count = bits(word, 11, 10), bits(word, 9, 8) + 1
    if size == 0b11:  # to all lanes
        step = bits(word, 5, 5) + 1
        registers = (step if count == 1 else count) if load else 0
        last = first + (registers - 1) * (1 if count == 1 else step)
        if not registers or last > 31:
            return Instruction("unknown")
        data = double(*range(first, last + 1, 1 if count == 1 else step))
        wide = count == 1 and registers == 2
        return access(("load_dup", "store_v"), load, data, address, writeback, count, wide=wide)
    index = bits(word, 7, 5 + size)
    step = 1 if not size else bits(word, 4 + size, 4 + size) + 1
    numbers = range(first, first + count * step, step)
    if numbers[-1] > 31:
        return Instruction("unknown")
    data = tuple(unit for number in numbers for unit in lane(number, index, size))
    whole_units = size == 2 and numbers[-1] < 16
    keeps = () if whole_units else data  # the other lanes stay
    return access(("load_lane", "store_lane"), load, data, address, writeback, count, keeps=keeps)
