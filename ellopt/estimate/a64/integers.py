"""Integer arithmetic and logic."""

from __future__ import annotations

from ellopt.estimate.a64.registers import general
from ellopt.estimate.instruction import FLAGS, Instruction, Kind, bits


def immediate(word: int) -> Instruction:
    """Data processing with an immediate."""
    group, d, n, x = bits(word, 25, 23), word & 31, bits(word, 9, 5), bool(word >> 31)
    if group in (0b000, 0b001):  # an address relative to here
        return Instruction("alu", (), general(d), x=True)
    if group in (0b010, 0b011):
        if bits(word, 29, 29):
            return Instruction("alu", (n,), (*general(d), FLAGS), x=x)
        return Instruction("alu", (n,), (d,), x=x)
    if group == 0b100:
        if bits(word, 30, 29) == 0b11:
            return Instruction("alu", general(n), (*general(d), FLAGS), x=x)
        return Instruction("alu", general(n), (d,), x=x)
    if group == 0b101:
        keeps = bits(word, 30, 29) == 0b11
        return Instruction("alu", general(d) if keeps else (), general(d), x=x)
    if group == 0b110:
        inserts = bits(word, 30, 29) == 0b01
        return Instruction("alu", general(n, d) if inserts else general(n), general(d), x=x)
    return Instruction("alu", general(n, bits(word, 20, 16)), general(d), x=x)


def register(word: int) -> Instruction:
    """Data processing of registers."""
    d, n, m, x = word & 31, bits(word, 9, 5), bits(word, 20, 16), bool(word >> 31)
    sets_flags = bits(word, 29, 29)
    if not bits(word, 28, 28):
        if not bits(word, 24, 24):  # logic
            found = Instruction("alu_shift" if bits(word, 15, 10) else "alu", general(n, m), general(d), x=x)
            return _flagged(found) if bits(word, 30, 29) == 0b11 else found
        if not bits(word, 21, 21):
            found = Instruction("alu_shift" if bits(word, 15, 10) else "alu", general(n, m), general(d), x=x)
            return _flagged(found) if sets_flags else found
        plain = bits(word, 15, 13) == 0b010 + x and not bits(word, 12, 10)  # beside the stack pointer: no extension
        kind: Kind = "alu" if plain else "alu_shift"
        if sets_flags:
            return _flagged(Instruction(kind, (n, *general(m)), general(d), x=x))
        return Instruction(kind, (n, *general(m)), (d,), x=x)
    group = bits(word, 24, 21)
    if group & 0b1000:
        return Instruction("mul", general(n, m, bits(word, 14, 10)), general(d), x=x)
    if group == 0b0000:  # with carry
        found = Instruction("alu", (*general(n, m), FLAGS), general(d), x=x)
        return _flagged(found) if sets_flags else found
    if group == 0b0010:  # compare if
        return Instruction("alu", (*general(n, *(() if bits(word, 11, 11) else (m,))), FLAGS), (FLAGS,), x=x)
    if group == 0b0100:  # select
        return Instruction("alu", (*general(n, m), FLAGS), general(d), x=x)
    if bits(word, 30, 30):
        return Instruction("alu", general(n), general(d), x=x)
    return Instruction("div" if bits(word, 15, 11) == 0b00001 else "alu", general(n, m), general(d), x=x)


def _flagged(found: Instruction) -> Instruction:
    return Instruction(found.kind, found.sources, (*found.targets, FLAGS), x=found.x)
