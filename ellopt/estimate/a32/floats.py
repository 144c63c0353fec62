"""VFP: floating point on scalars, its loads and stores, and moves between the files of registers."""

from __future__ import annotations

from ellopt.estimate.a32.memory import access
from ellopt.estimate.a32.registers import FLOAT_FLAGS, PC, double, general, lane, single, vector
from ellopt.estimate.instruction import FLAGS, NO, Instruction, Kind, bits

_UNKNOWN = Instruction("unknown")
#: bits 23, 21, 20 -> kind, where it is the same with bit 6 and without
_THREE: dict[int, Kind] = {
    0b000: "fmla", 0b001: "fmla", 0b010: "fmul", 0b011: "fadd", 0b100: "fdiv", 0b101: "fmla", 0b110: "fmla",
}  # fmt: skip


def _register(word: int, high: int, low: int, extra: int, is_double: bool) -> tuple[int, ...]:
    """A scalar's register: four bits and an extra one, which is the lowest of an s and the highest of a d."""
    number, bit = bits(word, high, low), bits(word, extra, extra)
    return double(bit << 4 | number) if is_double else single(number << 1 | bit)


def _operands(word: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    is_double = bits(word, 9, 8) == 0b11
    return (
        _register(word, 15, 12, 22, is_double),
        _register(word, 19, 16, 7, is_double),
        _register(word, 3, 0, 5, is_double),
    )


def scalar_float(word: int) -> Instruction:
    d, n, m = _operands(word)
    operation = bits(word, 23, 23) << 2 | bits(word, 21, 20)
    if operation == 0b111:
        return _one(word, d, m)
    kind = _THREE[operation]
    if operation == 0b100 and bits(word, 6, 6):
        return _UNKNOWN
    if kind == "fmla":
        return Instruction(kind, (*n, *m, *d), d, accumulator=d[0], accumulators=len(d), flops=2)
    return Instruction(kind, (*n, *m), d, flops=1)


def _one(word: int, d: tuple[int, ...], m: tuple[int, ...]) -> Instruction:
    operation, is_double = bits(word, 19, 16), bits(word, 9, 8) == 0b11
    if not bits(word, 6, 6):
        return Instruction("vimm", (), d)
    if operation in (0b0000, 0b0001):
        if operation and bits(word, 7, 7):
            return Instruction("fdiv", m, d, flops=1)
        return Instruction("fmove", m, d)
    if operation in (0b0010, 0b0011):  # halves: half of a single register
        of_half = bits(word, 16, 16)
        target = _register(word, 15, 12, 22, is_double and not of_half)
        source = _register(word, 3, 0, 5, is_double and bool(of_half))
        return Instruction("fcvt", (*source, *target) if of_half else source, target)
    if operation in (0b0100, 0b0101):
        return Instruction("fcmp", d if operation & 1 else (*d, *m), (FLOAT_FLAGS,))
    if operation == 0b0111 and bits(word, 7, 7):  # to the other size
        return Instruction("fcvt", m, _register(word, 15, 12, 22, not is_double))
    if operation in (0b0110, 0b0111):
        return Instruction("fcvt", m, d)
    if operation == 0b1000:
        return Instruction("fcvt", _register(word, 3, 0, 5, False), d)
    if operation in (0b1100, 0b1101):
        return Instruction("fcvt", m, _register(word, 15, 12, 22, False))
    return Instruction("fcvt", d, d) if operation & 0b1010 == 0b1010 else _UNKNOWN  # fixed point


def scalar_float_always(word: int) -> Instruction:
    """Those that no condition is put before: selection, extremes as IEEE 754 has them, rounding."""
    d, n, m = _operands(word)
    if not bits(word, 23, 23):
        return _UNKNOWN if bits(word, 6, 6) else Instruction("fmove", (*n, *m, FLAGS), d)
    if bits(word, 21, 20) == 0b00:
        return Instruction("fminmax", (*n, *m), d, flops=1)
    if bits(word, 21, 20) == 0b11 and bits(word, 19, 19) and bits(word, 6, 6):
        target = _register(word, 15, 12, 22, False) if bits(word, 18, 18) else d
        return Instruction("fcvt", m, target)
    return _UNKNOWN


def float_memory(word: int) -> Instruction:
    """One register or several; and two general registers from or to a d or two s."""
    if bits(word, 24, 21) == 0b0010:
        return _two_general(word)
    is_double, load, n = bool(bits(word, 8, 8)), bool(bits(word, 20, 20)), bits(word, 19, 16)
    kinds: tuple[Kind, Kind] = ("load_v", "store_v")
    if bits(word, 24, 24) and not bits(word, 21, 21):
        return access(kinds, load, _register(word, 15, 12, 22, is_double), general(n), NO)
    number, bit, words = bits(word, 15, 12), bits(word, 22, 22), bits(word, 7, 0)
    count, first = (words // 2, bit << 4 | number) if is_double else (words, number << 1 | bit)
    if bits(word, 24, 23) not in (0b01, 0b10) or not count or first + count > 32:
        return _UNKNOWN
    numbers = range(first, first + count)
    doubles = (words + 1) // 2 if not is_double else count
    wide = not doubles & 1
    writeback = n if bits(word, 21, 21) and n != PC else NO
    data = double(*numbers) if is_double else single(*numbers)
    return access(kinds, load, data, general(n), writeback, doubles // 2 if wide else doubles, wide=wide)


def _two_general(word: int) -> Instruction:
    if not bits(word, 22, 22) or bits(word, 7, 6) or not bits(word, 4, 4):
        return _UNKNOWN
    two, number, bit = general(bits(word, 15, 12), bits(word, 19, 16)), bits(word, 3, 0), bits(word, 5, 5)
    first = number << 1 | bit
    data = double(bit << 4 | number) if bits(word, 8, 8) else single(first, first + 1)
    return Instruction("to_general", data, two) if bits(word, 20, 20) else Instruction("insert_general", two, data)


def between_registers(word: int) -> Instruction:
    """A general register from or to a scalar, a lane, all lanes, or the state of floating point."""
    load, operation, t = bits(word, 20, 20), bits(word, 23, 21), bits(word, 15, 12)
    if not bits(word, 8, 8):
        if operation == 0b111:
            if load:
                return Instruction("to_general", (FLOAT_FLAGS,), (FLAGS,) if t == PC else (t,))
            return Instruction("from_general", general(t), (FLOAT_FLAGS,))
        if operation != 0b000:
            return _UNKNOWN
        s = single(bits(word, 19, 16) << 1 | bits(word, 7, 7))
        return Instruction("to_general", s, general(t)) if load else Instruction("from_general", general(t), s)
    number = bits(word, 7, 7) << 4 | bits(word, 19, 16)
    if not load and operation & 0b100:
        wide = bool(bits(word, 21, 21))
        return Instruction("dup_general", general(t), vector(number, wide), wide=wide)
    log_bytes, index = _lane(bits(word, 22, 21), bits(word, 6, 5))
    units = lane(number, index, log_bytes)
    if load:
        return Instruction("to_general", units, general(t))
    whole = log_bytes == 2 and number < 16
    return Instruction("insert_general", general(t) if whole else (*general(t), *units), units)


def _lane(high: int, low: int) -> tuple[int, int]:
    """The size of an element, as the power of two of its bytes, and which one."""
    if high & 2:
        return 0, (high & 1) << 2 | low
    if low & 1:
        return 1, (high & 1) << 1 | low >> 1
    return 2, high & 1
