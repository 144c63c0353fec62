"""Advanced SIMD: vectors, and scalars in their registers."""

from __future__ import annotations

from ellopt.estimate.a64.registers import general, vector
from ellopt.estimate.instruction import NO, Instruction, Kind, bits

#: Of three like registers, floating point: opcode -> kind without the bit U, with it
_FLOAT: dict[int, tuple[Kind, Kind]] = {
    24: ("fminmax", "fminmax"), 25: ("fmla", "fmla"), 26: ("fadd", "fadd"), 27: ("fmul", "fmul"),
    28: ("fcmp", "fcmp"), 29: ("fmla", "fcmp"), 30: ("fminmax", "fminmax"), 31: ("fmul", "fdiv"),
}  # fmt: skip
_COUNTED = ("fadd", "fmul", "fminmax", "fdiv")


def vectors(word: int) -> Instruction:
    scalar = bool(bits(word, 28, 28))
    by_element = bool(bits(word, 24, 24))
    if by_element:
        if not bits(word, 10, 10):
            return _by_element(word, scalar)
        return _immediate(word, scalar) if not bits(word, 23, 23) else Instruction("vlogic")
    if bits(word, 21, 21):
        if bits(word, 10, 10):
            return _three_same(word, bits(word, 15, 11), _lanes(word, bits(word, 22, 22) + 2, scalar), scalar)
        if not bits(word, 11, 11):
            return _three_different(word)
        return _two(word, scalar)
    if not bits(word, 15, 15) and bits(word, 10, 10):
        if bits(word, 22, 22) and not bits(word, 14, 14):  # halves
            return _three_same(word, 24 + bits(word, 13, 11), _lanes(word, 1, scalar), scalar)
        return _copy(word, scalar)
    if bits(word, 15, 15) and bits(word, 10, 10):
        return _three_extra(word)
    if bits(word, 29, 29):  # extract
        return _made(word, "permute", vector(bits(word, 9, 5), bits(word, 20, 16)))
    if not bits(word, 11, 11) and not bits(word, 15, 15):  # table
        n = bits(word, 9, 5)
        looked_up = vector(*range(n, n + bits(word, 14, 13) + 1), bits(word, 20, 16))
        return _made(word, "permute", looked_up, keeps=bool(bits(word, 12, 12)))
    return _made(word, "permute", vector(bits(word, 9, 5), bits(word, 20, 16)))


def _lanes(word: int, log_bytes: int, scalar: bool) -> int:
    """Elements of two to the power of ``log_bytes`` bytes that are worked on."""
    return 1 if scalar else (16 if bits(word, 30, 30) else 8) >> log_bytes


def _made(
    word: int,
    kind: Kind,
    sources: tuple[int, ...],
    *,
    keeps: bool = False,
    lanes: int = 1,
    wide: bool | None = None,
    accumulates: bool = False,
) -> Instruction:
    """An instruction that writes a vector. ``keeps``: part of what was there stays or is added to."""
    target = vector(word & 31)
    flops = lanes * 2 if kind == "fmla" else lanes if kind in _COUNTED else 0
    return Instruction(
        kind,
        (*sources, *target) if keeps else sources,
        target,
        accumulator=target[0] if accumulates else NO,
        wide=bool(bits(word, 30, 30)) if wide is None else wide,
        flops=flops,
    )


def _three_same(word: int, operation: int, lanes: int, scalar: bool) -> Instruction:
    sources, upper = vector(bits(word, 9, 5), bits(word, 20, 16)), bits(word, 29, 29)
    wide = False if scalar else None
    if operation >= 24:
        kind = _FLOAT[operation][upper]
        added = kind == "fmla"
        return _made(word, kind, sources, keeps=added, lanes=lanes, wide=wide, accumulates=added)
    if operation == 0b00011:
        return _made(word, "vlogic", sources, keeps=bool(upper and bits(word, 23, 22)), wide=wide)
    if operation in (0b01000, 0b01001, 0b01010, 0b01011):
        return _made(word, "vshift", sources, wide=wide)
    if operation in (0b10010, 0b10011, 0b10110):
        return _made(word, "vmul", sources, keeps=operation == 0b10010, wide=wide)
    return _made(word, "vlogic", sources, keeps=operation == 0b01111, wide=wide)


def _three_extra(word: int) -> Instruction:
    """Dot and matrix products, and complex numbers."""
    operation = bits(word, 14, 11)
    sources = vector(bits(word, 9, 5), bits(word, 20, 16))
    kind: Kind = "fmla" if operation >= 0b1000 else "dot" if operation in (0b0010, 0b0011, 0b0100) else "vmul"
    return _made(word, kind, sources, keeps=True, lanes=4, accumulates=kind == "fmla")


def _three_different(word: int) -> Instruction:
    """Results of twice the width, or of half."""
    operation = bits(word, 15, 12)
    sources = vector(bits(word, 9, 5), bits(word, 20, 16))
    if operation >= 0b1000:
        return _made(word, "vmul_long", sources, keeps=operation in (0b1000, 0b1001, 0b1010, 0b1011), wide=True)
    narrow = operation in (0b0100, 0b0110)
    return _made(word, "vlogic", sources, keeps=operation == 0b0101 or (narrow and bool(bits(word, 30, 30))), wide=True)


def _two(word: int, scalar: bool) -> Instruction:
    """Of one source: conversions, narrowing, reductions."""
    operation, wide = bits(word, 16, 12), bool(bits(word, 30, 30)) and not scalar
    sources = vector(bits(word, 9, 5))
    reduces = bits(word, 20, 17) == 0b1000
    if reduces:
        kind: Kind = "fminmax" if operation in (0b01100, 0b01111) else "vlogic"
        if scalar and operation == 0b01101:
            kind = "fadd"
        return _made(word, kind, sources, wide=wide)
    if operation in (0b10010, 0b10100) and not scalar:
        return _made(word, "permute", sources, keeps=wide, wide=True)
    if operation in (0b10110, 0b10111):
        return _made(word, "fcvt", sources, keeps=wide and operation == 0b10110, wide=not scalar)
    if operation == 0b10011:
        return _made(word, "vshift", sources, wide=True)
    if operation in (0b00000, 0b00001):
        return _made(word, "permute", sources, wide=wide)
    if operation == 0b01111 and not scalar:
        return _made(word, "fmove", sources, wide=wide)
    if operation in (0b01100, 0b01101, 0b01110) and bits(word, 23, 23):
        return _made(word, "fcmp", sources, wide=wide)
    if operation == 0b11111:
        return _made(word, "fdiv", sources, lanes=_lanes(word, bits(word, 22, 22) + 2, scalar), wide=wide)
    if operation >= 0b11000:
        return _made(word, "fcvt", sources, wide=wide)
    return _made(word, "vlogic", sources, keeps=operation == 0b00110 or operation == 0b00011, wide=wide)


def _copy(word: int, scalar: bool) -> Instruction:
    """Between lanes, and between lanes and general registers."""
    n, form = bits(word, 9, 5), bits(word, 14, 11)
    x = bits(word, 19, 16) == 0b1000
    if scalar or form == 0b0000:
        if bits(word, 29, 29):
            return _made(word, "permute", vector(n), keeps=True, wide=False)
        return _made(word, "permute", vector(n), wide=False if scalar else None)
    if bits(word, 29, 29):
        return _made(word, "permute", vector(n), keeps=True, wide=False)
    if form == 0b0001:
        return _made(word, "dup_general", general(n))
    if form == 0b0011:
        return _made(word, "insert_general", general(n), keeps=True, wide=False)
    return Instruction("to_general", vector(n), general(word & 31), x=x)


def _by_element(word: int, scalar: bool) -> Instruction:
    operation, upper, size = bits(word, 15, 12), bits(word, 29, 29), bits(word, 23, 22)
    halves = size in (0b00, 0b01)
    m = bits(word, 19, 16) if halves else bits(word, 20, 16)
    sources = vector(bits(word, 9, 5), m)
    wide = False if scalar else None
    lanes = _lanes(word, {0b00: 1, 0b11: 3}.get(size, 2), scalar)
    if operation in (0b0001, 0b0101):
        return _made(word, "fmla", sources, keeps=True, lanes=lanes, wide=wide, accumulates=True)
    if operation == 0b1001:
        return _made(word, "fmul", sources, lanes=lanes, wide=wide)
    longs = (operation in (0b0000, 0b0100) and not upper) or (operation in (0b1000, 0b1100) and upper)
    if longs and size == 0b10:  # products of halves, added to singles
        return _made(
            word, "fmla", vector(bits(word, 9, 5), bits(word, 19, 16)), keeps=True, lanes=lanes, accumulates=True
        )
    if operation in (0b1110, 0b1111):
        return _made(word, "dot" if operation == 0b1110 else "fmla", sources, keeps=True, lanes=lanes)
    if operation in (0b0010, 0b0110, 0b1010, 0b0011, 0b0111, 0b1011):
        return _made(word, "vmul_long", sources, keeps=operation not in (0b1010, 0b1011), wide=True)
    return _made(word, "vmul", sources, keeps=operation in (0b0000, 0b0100) and bool(upper), wide=wide)


def _immediate(word: int, scalar: bool) -> Instruction:
    """Constants, and shifts by a constant."""
    wide = False if scalar else None
    if not bits(word, 22, 19):
        mode = bits(word, 15, 12)
        keeps = bool(mode & 1) and mode < 0b1100
        return _made(word, "vlogic" if keeps else "vimm", (), keeps=keeps, wide=wide)
    operation, upper, sources = bits(word, 15, 11), bits(word, 29, 29), vector(bits(word, 9, 5))
    if operation in (0b11100, 0b11111):
        return _made(word, "fcvt", sources, wide=wide)
    if 0b10000 <= operation <= 0b10011:
        return _made(word, "vshift", sources, keeps=bool(bits(word, 30, 30)) and not scalar, wide=not scalar)
    if operation == 0b10100:
        return _made(word, "vshift", sources, wide=True)
    keeps = operation in (0b00010, 0b00110, 0b01000) or (operation == 0b01010 and bool(upper))
    return _made(word, "vshift", sources, keeps=keeps, wide=wide)
