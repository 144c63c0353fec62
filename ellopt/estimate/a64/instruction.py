"""A decoded instruction: what a model of a pipeline asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Registers: 0 to 30 are general ones, then the stack pointer, 32 vectors and the flags. NO is none.
SP, VECTORS, FLAGS, NO = 31, 32, 64, 255

Kind = Literal[
    "nop",
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
    """``sources`` and ``targets`` are registers as above, the zero register is none of them.

    ``accumulator``: the register that a multiply-add adds to, which it may need late. ``writeback``: the base register
    that a load or store changes. ``wide``: works on 128-bit vectors. ``x``: on 64-bit general registers. ``moved``:
    registers of data that a load or store moves. ``flops``: floating-point operations.
    """

    kind: Kind
    sources: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    accumulator: int = NO
    writeback: int = NO
    wide: bool = False
    x: bool = False
    moved: int = 0
    flops: int = 0

    @property
    def is_load(self) -> bool:
        return self.kind.startswith("load")

    @property
    def is_store(self) -> bool:
        return self.kind.startswith("store")

    @property
    def is_branch(self) -> bool:
        return self.kind in ("cond", "branch", "indirect")


def bits(word: int, high: int, low: int) -> int:
    """The field of ``word`` from bit ``high`` to bit ``low``, both included."""
    return word >> low & (1 << (high - low + 1)) - 1


def general(*numbers: int) -> tuple[int, ...]:
    """General registers by number, where 31 is the zero register."""
    return tuple(n for n in numbers if n != SP)


def vector(*numbers: int) -> tuple[int, ...]:
    """Vector registers by number."""
    return tuple(VECTORS + n % 32 for n in numbers)
