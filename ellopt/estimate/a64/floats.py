"""Floating point on scalars."""

from __future__ import annotations

from ellopt.estimate.a64.registers import general, vector
from ellopt.estimate.instruction import FLAGS, Instruction, Kind, bits

_ONE: dict[int, Kind] = {0: "vlogic", 1: "fmove", 2: "fmove", 3: "fdiv"}
_TWO: dict[int, Kind] = {0: "fmul", 1: "fdiv", 2: "fadd", 3: "fadd", 8: "fmul"}


def scalar_float(word: int) -> Instruction:
    d, n, m = word & 31, bits(word, 9, 5), bits(word, 20, 16)
    if bits(word, 28, 24) == 0b11111:
        a = bits(word, 14, 10)
        [accumulator] = vector(a)
        return Instruction("fmla", (*vector(n, m), accumulator), vector(d), accumulator=accumulator, flops=2)
    if not bits(word, 21, 21) or not bits(word, 15, 10):
        return _to_and_from_integers(word, d, n)
    if bits(word, 14, 10) == 0b10000:
        kind = _ONE.get(bits(word, 20, 15), "fcvt")
        return Instruction(kind, vector(n), vector(d), flops=int(kind == "fdiv"))
    if bits(word, 13, 10) == 0b1000:
        return Instruction("fcmp", vector(n) if bits(word, 3, 3) else vector(n, m), (FLAGS,))
    if bits(word, 12, 10) == 0b100:
        return Instruction("vimm", (), vector(d))
    form = bits(word, 11, 10)
    if form == 0b01:
        return Instruction("fcmp", (*vector(n, m), FLAGS), (FLAGS,))
    if form == 0b11:
        return Instruction("fmove", (*vector(n, m), FLAGS), vector(d))
    return Instruction(_TWO.get(bits(word, 15, 12), "fminmax"), vector(n, m), vector(d), flops=1)


def _to_and_from_integers(word: int, d: int, n: int) -> Instruction:
    operation, x = bits(word, 18, 16), bool(word >> 31)
    if operation in (0b010, 0b011):
        return Instruction("fcvt", general(n), vector(d), x=x)
    if bits(word, 21, 21) and operation == 0b111:
        return Instruction("from_general", general(n), vector(d), x=x)
    return Instruction("to_general", vector(n), general(d), x=x)
