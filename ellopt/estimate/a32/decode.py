"""The top of the tree of encodings. Source: Arm Architecture Reference Manual, chapter F4."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from ellopt.estimate.a32.floats import between_registers, float_memory, scalar_float, scalar_float_always
from ellopt.estimate.a32.integers import UNKNOWN, data_processing, media
from ellopt.estimate.a32.memory import multiple, word_or_byte
from ellopt.estimate.a32.registers import LINK, general
from ellopt.estimate.a32.structures import structure
from ellopt.estimate.a32.vectors import vectors
from ellopt.estimate.instruction import FLAGS, Instruction, bits

_ALWAYS, _UNCONDITIONAL = 14, 15


@lru_cache(maxsize=1 << 18)
def decode(word: int) -> Instruction:
    """The instruction with the encoding ``word``; of kind ``unknown`` where it is none, or none that is known.

    One that is done on a condition waits for the flags, and for what its target was.
    """
    condition = word >> 28
    if condition == _UNCONDITIONAL:
        return _unconditional(word)
    found = _conditional(word)
    if condition == _ALWAYS or found.kind == "unknown":
        return found
    sources = (*found.sources, *found.targets, FLAGS)
    kind = "cond" if found.kind in ("branch", "indirect") else found.kind
    return replace(found, kind=kind, sources=sources, guarded=True)


def _conditional(word: int) -> Instruction:
    group = bits(word, 27, 25)
    if group in (0b000, 0b001):
        return data_processing(word)
    if group == 0b010:
        return word_or_byte(word)
    if group == 0b011:
        return media(word) if bits(word, 4, 4) else word_or_byte(word)
    if group == 0b100:
        return multiple(word)
    if group == 0b101:
        return Instruction("branch", targets=(LINK,) if bits(word, 24, 24) else ())
    return _coprocessor(word)


def _coprocessor(word: int) -> Instruction:
    if bits(word, 27, 24) == 0b1111:
        return Instruction("nop")  # a system call
    if bits(word, 11, 9) == 0b101:
        if bits(word, 27, 24) == 0b1110:
            return between_registers(word) if bits(word, 4, 4) else scalar_float(word)
        return float_memory(word)
    if bits(word, 27, 24) == 0b1110 and bits(word, 4, 4) and bits(word, 11, 8) in (14, 15):  # system registers
        register = general(bits(word, 15, 12))
        return Instruction("alu", targets=register) if bits(word, 20, 20) else Instruction("alu", register)
    return UNKNOWN


def _unconditional(word: int) -> Instruction:
    top = bits(word, 27, 24)
    if top in (0b0010, 0b0011):
        return vectors(word)
    if top == 0b0100 and not bits(word, 20, 20):
        return structure(word)
    by_register = bits(word, 25, 25)
    hints = bits(word, 27, 26) == 0b01 and bits(word, 21, 20) == 0b01 and not (by_register and bits(word, 4, 4))
    if hints and (bits(word, 24, 24) or bits(word, 22, 22)):
        index = general(bits(word, 3, 0)) if by_register else ()
        return Instruction("prefetch", (*general(bits(word, 19, 16)), *index))
    if bits(word, 27, 20) == 0b01010111:  # barriers
        return Instruction("nop")
    if top == 0b1110 and bits(word, 11, 9) == 0b101 and not bits(word, 4, 4):
        return scalar_float_always(word)
    return UNKNOWN
