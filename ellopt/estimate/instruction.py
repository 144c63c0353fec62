"""A decoded instruction: what a model of a pipeline asks of it, whatever the instruction set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Registers are numbers that the instruction set gives them, below REGISTERS; FLAGS is one. NO is none.
FLAGS, REGISTERS, NO = 64, 66, 255

#: "a64": of 64-bit programs; "a32": of 32-bit ones, as far as they are not Thumb
InstructionSet = Literal["a64", "a32"]

Kind = Literal[
    "nop",
    # not decoded: nothing is known of what it takes
    "unknown",
    # branches: conditional, direct, to a register
    "cond", "branch", "indirect",
    # integers; alu_shift also shifts or extends an operand
    "alu", "alu_shift", "mul", "div",
    # memory; x: general registers, v: vectors, dup: to all lanes, lane: one lane, interleaved: structures
    "load_x", "load_v", "load_dup", "load_lane", "load_interleaved",
    "store_x", "store_v", "store_lane", "store_interleaved", "prefetch",
    # floating point and vectors
    "fmla", "fmul", "fadd", "fdiv", "fminmax", "fcmp", "fcvt", "fmove",
    "dot", "vmul", "vmul_long", "vshift", "vlogic", "vimm", "permute",
    # between the files of registers
    "from_general", "dup_general", "insert_general", "to_general",
]  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """``sources`` and ``targets`` are registers as above, a zero register is none of them.

    ``accumulator``: the first of the ``accumulators`` registers that a multiply-add adds to, which it may need late.
    ``writeback``: the base register that a load or store changes. ``wide``: works on 128-bit vectors. ``x``: on 64-bit
    general registers. ``moved``: registers of data that a load or store moves. ``flops``: floating-point operations.
    ``jumps``: writes the program counter, beside what its kind says. ``guarded``: done only where the flags say so.
    """

    kind: Kind
    sources: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    accumulator: int = NO
    accumulators: int = 1
    writeback: int = NO
    wide: bool = False
    x: bool = False
    moved: int = 0
    flops: int = 0
    jumps: bool = False
    guarded: bool = False

    @property
    def double_words(self) -> int:
        """How many times 64 bits a load or store of general registers moves, rounded up; at least 1."""
        return max(1, self.moved if self.x else (self.moved + 1) // 2)

    @property
    def is_load(self) -> bool:
        return self.kind.startswith("load")

    @property
    def is_store(self) -> bool:
        return self.kind.startswith("store")

    @property
    def is_branch(self) -> bool:
        return self.jumps or self.kind in ("cond", "branch", "indirect")

    @property
    def is_conditional(self) -> bool:
        """Whether it is a branch that may not be taken."""
        return self.kind == "cond" or (self.jumps and self.guarded)


def bits(word: int, high: int, low: int) -> int:
    """The field of ``word`` from bit ``high`` to bit ``low``, both included."""
    return word >> low & (1 << (high - low + 1)) - 1
