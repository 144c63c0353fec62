"""Integer arithmetic and logic."""

from __future__ import annotations

from ellopt.estimate.a32.memory import exclusive, half_or_dual
from ellopt.estimate.a32.registers import LINK, PC, general
from ellopt.estimate.instruction import FLAGS, Instruction, Kind, bits

UNKNOWN = Instruction("unknown")

_COMPARES = (0b1000, 0b1001, 0b1010, 0b1011)
_WITH_CARRY = (0b0101, 0b0110, 0b0111)
_MOVES = (0b1101, 0b1111)


def data_processing(word: int) -> Instruction:
    """What bits 27 and 26 are 0 of: data processing, multiplication, and the rarer loads and stores."""
    operation, sets_flags = bits(word, 24, 21), bits(word, 20, 20)
    special = operation in _COMPARES and not sets_flags
    if bits(word, 25, 25):
        return _special_immediate(word) if special else _operation(word, (), "alu")
    if bits(word, 7, 7) and bits(word, 4, 4):
        if bits(word, 6, 5):
            return half_or_dual(word)
        return exclusive(word) if bits(word, 24, 24) else _multiply(word)
    if special:
        return _halves(word) if bits(word, 7, 7) else _miscellaneous(word)
    m = bits(word, 3, 0)
    if bits(word, 4, 4):  # shifted by a register
        shifted = (*general(m), *general(bits(word, 11, 8)))
        return _operation(word, shifted, "alu" if operation in _MOVES else "alu_shift")
    amount, way = bits(word, 11, 7), bits(word, 6, 5)
    carried = (FLAGS,) if way == 0b11 and not amount else ()
    plain = (not amount and not way) or operation in _MOVES
    return _operation(word, (*general(m), *carried), "alu" if plain else "alu_shift")


def _operation(word: int, second: tuple[int, ...], kind: Kind) -> Instruction:
    operation, sets_flags, d = bits(word, 24, 21), bits(word, 20, 20), bits(word, 15, 12)
    first = () if operation in _MOVES else general(bits(word, 19, 16))
    carried = (FLAGS,) if operation in _WITH_CARRY else ()
    written = () if operation in _COMPARES else general(d)
    jumps = operation not in _COMPARES and d == PC
    return Instruction(kind, (*first, *second, *carried), (*written, FLAGS) if sets_flags else written, jumps=jumps)


def _special_immediate(word: int) -> Instruction:
    operation, d = bits(word, 24, 21), bits(word, 15, 12)
    if operation == 0b1000:  # the lower half
        return Instruction("alu", (), general(d))
    if operation == 0b1010:  # the upper half; the lower stays
        return Instruction("alu", general(d), general(d))
    if not bits(word, 22, 22) and not bits(word, 19, 16):  # hints
        return Instruction("nop")
    return Instruction("alu", targets=(FLAGS,))  # the status register


def _miscellaneous(word: int) -> Instruction:
    form, operation, m, d = bits(word, 6, 4), bits(word, 22, 21), bits(word, 3, 0), bits(word, 15, 12)
    if form == 0b000:  # the status register
        return Instruction("alu", general(m), (FLAGS,)) if operation & 1 else Instruction("alu", (FLAGS,), general(d))
    if form == 0b001 and operation == 0b01:
        return Instruction("indirect", () if m == LINK else general(m))  # a return is predicted
    if form == 0b001 and operation == 0b11:  # count zeros
        return Instruction("alu", general(m), general(d))
    if form == 0b011 and operation == 0b01:
        return Instruction("indirect", general(m), (LINK,))
    if form == 0b101:  # saturating
        return Instruction("alu_shift", general(m, bits(word, 19, 16)), general(d))
    return UNKNOWN


def _multiply(word: int) -> Instruction:
    operation, high, low = bits(word, 23, 21), bits(word, 19, 16), bits(word, 15, 12)
    factors = general(bits(word, 3, 0), bits(word, 11, 8))
    flags = (FLAGS,) if bits(word, 20, 20) else ()
    if operation == 0b000:
        return Instruction("mul", factors, (*general(high), *flags))
    if operation in (0b001, 0b011):
        return Instruction("mul", (*factors, *general(low)), (*general(high), *flags))
    if operation in (0b100, 0b110):
        return Instruction("mul", factors, (*general(low, high), *flags), x=True)
    return Instruction("mul", (*factors, *general(low, high)), (*general(low, high), *flags), x=True)


def _halves(word: int) -> Instruction:
    """Products of halves."""
    operation, high, low = bits(word, 22, 21), bits(word, 19, 16), bits(word, 15, 12)
    factors = general(bits(word, 3, 0), bits(word, 11, 8))
    if operation == 0b10:
        return Instruction("mul", (*factors, *general(low, high)), general(low, high), x=True)
    adds = operation == 0b00 or (operation == 0b01 and not bits(word, 5, 5))
    return Instruction("mul", (*factors, *general(low)) if adds else factors, general(high))


def media(word: int) -> Instruction:
    """Parallel arithmetic, extensions, fields of bits, division."""
    operation, form = bits(word, 24, 20), bits(word, 7, 5)
    n, d, s, m = bits(word, 19, 16), bits(word, 15, 12), bits(word, 11, 8), bits(word, 3, 0)
    if operation >> 3 == 0b00:
        return Instruction("alu", general(n, m), (*general(d), FLAGS))
    if operation >> 3 == 0b01:
        return _packing(operation, form, n, d, m)
    if operation in (0b10001, 0b10011) and form == 0b000:
        return Instruction("div", general(m, s), general(n))
    if operation in (0b10000, 0b10101) or (operation == 0b10100 and form < 0b010):
        if operation == 0b10100:
            return Instruction("mul", (*general(m, s), *general(d, n)), general(d, n), x=True)
        return Instruction("mul", general(m, s, d), general(n))
    if operation == 0b11000 and form == 0b000:  # sums of differences
        return Instruction("mul", general(m, s, d), general(n))
    if operation >> 1 in (0b1101, 0b1111) and form & 0b011 == 0b010:  # a field is taken
        return Instruction("alu", general(m), general(d))
    if operation >> 1 == 0b1110 and form & 0b011 == 0b000:  # a field is put in, or cleared
        return Instruction("alu", (*general(m), *general(d)), general(d))
    return UNKNOWN


def _packing(operation: int, form: int, n: int, d: int, m: int) -> Instruction:
    part = operation & 0b111
    if form == 0b011 and part not in (0b001, 0b101):  # extended, and added to what is not the program counter
        return Instruction("alu" if n == PC else "alu_shift", general(n, m), general(d))
    if part in (0b011, 0b111) and form in (0b001, 0b101):  # bytes or bits in another order
        return Instruction("alu", general(m), general(d))
    if part == 0b000 and not form & 1:  # packed
        return Instruction("alu_shift", general(n, m), general(d))
    if part == 0b000 and form == 0b101:  # selected
        return Instruction("alu", (*general(n, m), FLAGS), general(d))
    if part & 0b010 and (not form & 1 or (form == 0b001 and not part & 1)):  # saturated
        return Instruction("alu_shift", general(m), general(d))
    return UNKNOWN
