"""Advanced SIMD: arithmetic of d and q registers."""

from __future__ import annotations

from ellopt.estimate.a32.registers import double, lane, vector
from ellopt.estimate.instruction import NO, Instruction, Kind, bits

_UNKNOWN = Instruction("unknown")
_COUNTED = ("fadd", "fmul", "fminmax", "fdiv")
#: Of three like registers, floating point: opcode and bit 4 -> kind without the bit U, with it
_FLOAT: dict[int, tuple[Kind, Kind]] = {
    0b11001: ("fmla", "unknown"), 0b11010: ("fadd", "fadd"), 0b11011: ("fmla", "fmul"), 0b11100: ("fcmp", "fcmp"),
    0b11101: ("unknown", "fcmp"), 0b11110: ("fminmax", "fminmax"), 0b11111: ("fmul", "fminmax"),
}  # fmt: skip


def vectors(word: int) -> Instruction:
    if not bits(word, 23, 23):
        return _three_same(word)
    if bits(word, 4, 4):
        return _shift(word) if bits(word, 21, 19) or bits(word, 7, 7) else _immediate(word)
    if bits(word, 21, 20) != 0b11:
        return _by_scalar(word) if bits(word, 6, 6) else _three_different(word)
    if not bits(word, 24, 24):  # extracted from two
        return _made("permute", word, (*_n(word), *_m(word)))
    if not bits(word, 11, 11):
        return _two(word)
    if not bits(word, 10, 10):  # a table
        first, count = bits(word, 7, 7) << 4 | bits(word, 19, 16), bits(word, 9, 8) + 1
        if first + count > 32:
            return _UNKNOWN
        looked_up = (*double(*range(first, first + count)), *_m(word, False))
        return _made("permute", word, looked_up, wide=False, keeps=bool(bits(word, 6, 6)))
    return _UNKNOWN if bits(word, 9, 7) or not bits(word, 18, 16) else _duplicate(word)


def _wide(word: int) -> bool:
    return bool(bits(word, 6, 6))


def _n(word: int, wide: bool | None = None) -> tuple[int, ...]:
    return vector(bits(word, 7, 7) << 4 | bits(word, 19, 16), _wide(word) if wide is None else wide)


def _m(word: int, wide: bool | None = None) -> tuple[int, ...]:
    return vector(bits(word, 5, 5) << 4 | bits(word, 3, 0), _wide(word) if wide is None else wide)


def _made(
    kind: Kind,
    word: int,
    sources: tuple[int, ...],
    *,
    wide: bool | None = None,
    keeps: bool = False,
    lanes: int = 0,
    target_wide: bool | None = None,
) -> Instruction:
    """An instruction that writes a vector. ``keeps``: part of what was there stays or is added to."""
    if kind == "unknown":
        return _UNKNOWN
    wide = _wide(word) if wide is None else wide
    target = vector(bits(word, 22, 22) << 4 | bits(word, 15, 12), wide if target_wide is None else target_wide)
    added = kind == "fmla"
    return Instruction(
        kind,
        (*sources, *target) if keeps or added else sources,
        target,
        accumulator=target[0] if added else NO,
        accumulators=len(target) if added else 1,
        wide=wide,
        flops=lanes * 2 if added else lanes if kind in _COUNTED else 0,
    )


def _lanes(wide: bool, halves: int) -> int:
    return (4 if wide else 2) << (1 if halves else 0)


def _three_same(word: int) -> Instruction:
    operation, upper = bits(word, 11, 8) << 1 | bits(word, 4, 4), bits(word, 24, 24)
    sources = (*_n(word), *_m(word))
    if operation in _FLOAT:
        kind = _FLOAT[operation][upper]
        return _made(kind, word, sources, lanes=_lanes(_wide(word), bits(word, 20, 20)))
    if operation == 0b11000:
        return _UNKNOWN  # cryptography
    if operation == 0b00011:  # logic; with selection
        return _made("vlogic", word, sources, keeps=bool(upper and bits(word, 21, 20)))
    if operation in (0b01000, 0b01001, 0b01010, 0b01011):
        return _made("vshift", word, sources)
    if operation in (0b10010, 0b10011, 0b10110, 0b10111):
        if operation == 0b10111 and not upper:  # added in pairs
            return _made("vlogic", word, sources)
        return _made("vmul", word, sources, keeps=operation == 0b10010)
    return _made("vlogic", word, sources, keeps=operation == 0b01111)


def _three_different(word: int) -> Instruction:
    """Results of twice the width, or of half."""
    operation = bits(word, 11, 8)
    if operation == 0b1111:
        return _UNKNOWN
    if operation in (0b0100, 0b0110):
        return _made("vlogic", word, (*_n(word, True), *_m(word, True)), wide=True, target_wide=False)
    sources = (*_n(word, operation in (0b0001, 0b0011)), *_m(word, False))
    if operation >= 0b1000:
        return _made("vmul_long", word, sources, wide=True, keeps=operation in (0b1000, 0b1001, 0b1010, 0b1011))
    return _made("vlogic", word, sources, wide=True, keeps=operation == 0b0101)


def _by_scalar(word: int) -> Instruction:
    operation, wide, size = bits(word, 11, 8), bool(bits(word, 24, 24)), bits(word, 21, 20)
    number = bits(word, 3, 0)
    if size == 0b10:
        scalar = lane(number, bits(word, 5, 5), 2)
    else:
        scalar = lane(number & 7, bits(word, 5, 5) << 1 | number >> 3, 1)
    if operation in (0b0010, 0b0011, 0b0110, 0b0111, 0b1010, 0b1011):
        keeps = operation not in (0b1010, 0b1011)
        return _made("vmul_long", word, (*_n(word, False), *scalar), wide=True, keeps=keeps)
    sources, lanes = (*_n(word, wide), *scalar), _lanes(wide, size != 0b10)
    if operation in (0b0001, 0b0101):
        return _made("fmla", word, sources, wide=wide, lanes=lanes)
    if operation == 0b1001:
        return _made("fmul", word, sources, wide=wide, lanes=lanes)
    if operation in (0b0000, 0b0100, 0b1000, 0b1100, 0b1101):
        return _made("vmul", word, sources, wide=wide, keeps=operation in (0b0000, 0b0100))
    return _UNKNOWN


def _immediate(word: int) -> Instruction:
    mode = bits(word, 11, 8)
    if mode & 1 and mode < 0b1100:
        return _made("vlogic", word, (), keeps=True)
    return _made("vimm", word, ())


def _shift(word: int) -> Instruction:
    operation, upper, long = bits(word, 11, 8), bits(word, 24, 24), bits(word, 7, 7)
    if operation in (0b1000, 0b1001) and not long:
        return _made("vshift", word, _m(word, True), wide=True, target_wide=False)
    if operation == 0b1010 and not long:
        return _made("vshift", word, _m(word, False), wide=True)
    if operation in (0b1100, 0b1101, 0b1110, 0b1111) and not long:
        return _made("fcvt", word, _m(word))
    if operation > 0b0111:
        return _UNKNOWN
    keeps = operation in (0b0001, 0b0011) or (operation in (0b0100, 0b0101) and bool(upper))
    return _made("vshift", word, _m(word), keeps=keeps)


def _two(word: int) -> Instruction:
    """Of one source: conversions, narrowing, orders; and exchanges of two registers' elements."""
    group, operation = bits(word, 17, 16), bits(word, 10, 7)
    if group == 0b00:
        if operation in (0b0000, 0b0001, 0b0010):
            return _made("permute", word, _m(word))
        if operation in (0b0011, 0b0110, 0b0111):
            return _UNKNOWN
        return _made("vlogic", word, _m(word), keeps=operation in (0b1100, 0b1101))
    if group == 0b01:
        if operation & 0b0111 in (0b0110, 0b0111):
            return _made("fmove" if operation & 0b1000 else "vlogic", word, _m(word))
        if operation & 0b0111 == 0b0101:
            return _UNKNOWN
        return _made("fcmp" if operation & 0b1000 else "vlogic", word, _m(word))
    return _exchange_or_narrow(word, operation) if group == 0b10 else _convert(word, operation)


def _exchange_or_narrow(word: int, operation: int) -> Instruction:
    if operation in (0b0000, 0b0001, 0b0010, 0b0011):
        both = (*vector(bits(word, 22, 22) << 4 | bits(word, 15, 12), _wide(word)), *_m(word))
        return Instruction("permute", both, both, wide=_wide(word))
    if operation in (0b0100, 0b0101):
        return _made("permute", word, _m(word, True), wide=True, target_wide=False)
    if operation == 0b0110 and not _wide(word):
        return _made("vshift", word, _m(word, False), wide=True)
    if operation in (0b1100, 0b1110) and not _wide(word):  # halves
        longer = operation == 0b1110
        return _made("fcvt", word, _m(word, not longer), wide=True, target_wide=longer)
    if operation in (0b1000, 0b1001, 0b1010, 0b1011, 0b1101, 0b1111):
        return _made("fcvt", word, _m(word))
    return _UNKNOWN


def _convert(word: int, operation: int) -> Instruction:
    if operation & 0b1100 == 0b1000:  # a first guess at a reciprocal
        return _made("fmul", word, _m(word))
    return _made("fcvt", word, _m(word))


def _duplicate(word: int) -> Instruction:
    place = bits(word, 19, 16)
    log_bytes = 0 if place & 1 else 1 if place & 2 else 2
    number = bits(word, 5, 5) << 4 | bits(word, 3, 0)
    return _made("permute", word, lane(number, place >> (log_bytes + 1), log_bytes))
