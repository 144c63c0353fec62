"""The top of the tree of encodings. Source: Arm Architecture Reference Manual, chapter C4."""

from __future__ import annotations

from functools import lru_cache

from ellopt.estimate.a64.floats import scalar_float
from ellopt.estimate.a64.integers import immediate, register
from ellopt.estimate.a64.memory import memory
from ellopt.estimate.a64.registers import general
from ellopt.estimate.a64.vectors import vectors
from ellopt.estimate.instruction import FLAGS, Instruction, bits


@lru_cache(maxsize=1 << 18)
def decode(word: int) -> Instruction:
    """The instruction with the encoding ``word``. What is not known to be an instruction does nothing."""
    group = bits(word, 28, 25)
    if group in (0b1000, 0b1001):
        return immediate(word)
    if group in (0b1010, 0b1011):
        return _branch(word)
    if group & 0b0101 == 0b0100:
        return memory(word)
    if group & 0b0111 == 0b0101:
        return register(word)
    if group & 0b0111 == 0b0111:
        if not word >> 31 and (not bits(word, 28, 28) or bits(word, 30, 30)):
            return vectors(word)
        return scalar_float(word)
    return Instruction("nop")


def _branch(word: int) -> Instruction:
    if bits(word, 30, 26) == 0b00101:
        return Instruction("branch", targets=(30,) if word >> 31 else ())
    if bits(word, 31, 25) == 0b0101010:
        return Instruction("cond", (FLAGS,))
    if bits(word, 30, 26) == 0b01101:  # compare, or test a bit, and branch
        return Instruction("cond", general(bits(word, 4, 0)))
    if bits(word, 31, 25) == 0b1101011:
        operation, target = bits(word, 24, 21), bits(word, 9, 5)
        if operation == 0b0010:  # return: predicted
            return Instruction("indirect")
        return Instruction("indirect", general(target), (30,) if operation & 1 else ())
    if bits(word, 31, 20) == 0b110101010011:  # a system register is read
        return Instruction("alu", targets=general(bits(word, 4, 0)), x=True)
    return Instruction("nop")
