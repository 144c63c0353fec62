"""ARM1176JZF-S: in order, one instruction a cycle, with the scalar floating-point unit VFP11.

From Arm's technical reference manual for it (DDI 0301H): chapter 16 for integers and branches, table 21-16 for VFP11,
whose pipelines for arithmetic, division and memory work side by side. A result is forwarded to arithmetic that waits
for it: eight cycles from a multiply-add to the next that adds to it. A load of several registers takes one cycle of
issue and brings two words a cycle behind that.

Left out: folding of branches (each takes a cycle), the extra cycle of addresses that were just computed and of results
that are stored, and support code for denormal numbers. No manual says how far away memory is: its distance in time is
that of a Pi Zero 2 by guess, and a line's way takes as long as there for half the bytes. Linux leaves the second level
of cache to the GPU (bcm2835.dtsi).
"""

from __future__ import annotations

from ellopt.estimate.cores.base import Core, Memory, Pipeline, Timing, Uop
from ellopt.estimate.instruction import Instruction

#: Integers, multiplier, memory, arithmetic (FMAC), division (DS), branches
_ALU, _PRODUCT, _MEMORY, _ARITHMETIC, _DIVISION, _BRANCH = (1 << n for n in range(6))
#: Latency, and cycles until the next: of single and of double precision
_SUM = ((8, 1), (8, 1))
_PRODUCTS = ((8, 1), (9, 2))
_QUOTIENT = ((19, 15), (33, 29))
_FLOATS = {"fadd": _SUM, "fcvt": _SUM, "fmul": _PRODUCTS, "fmla": _PRODUCTS}


def timing(i: Instruction) -> Timing:
    kind, is_double = i.kind, len(i.targets) > 1
    if kind in _FLOATS:
        return Timing((Uop(_ARITHMETIC, *_FLOATS[kind][is_double]),))
    if kind == "fdiv":
        return Timing((Uop(_DIVISION, *_QUOTIENT[is_double]),))
    if kind in ("fmove", "fcmp", "vimm"):
        return Timing((Uop(_ARITHMETIC, 4),))
    if kind in ("from_general", "insert_general"):
        return Timing((Uop(_MEMORY, 4),))
    if kind == "to_general":
        return Timing((Uop(_MEMORY, 2),))
    if i.is_branch and not i.is_load:
        return Timing((Uop(_BRANCH, 1),))
    if kind in ("alu", "alu_shift"):
        return Timing((Uop(_ALU, 1),))
    if kind == "mul":
        return Timing((Uop(_PRODUCT, 5, 3) if i.x else Uop(_PRODUCT, 4, 2),))
    if kind == "prefetch":
        return Timing((Uop(_MEMORY, 1),))
    if i.is_load or i.is_store:
        return Timing((_memory(i),))
    return Timing((Uop(_ARITHMETIC, 8),)) if kind != "nop" else Timing()


def _memory(i: Instruction) -> Uop:
    general = i.kind in ("load_x", "store_x")
    cycles = i.double_words if general else i.moved * (2 if i.wide else 1)
    latency = 1 if i.is_store else (3 if general else 4) + cycles - 1
    return Uop(_MEMORY, latency, cycles)


ARM1176 = Core(
    "arm1176",
    "ARM1176JZF-S",
    timing,
    Pipeline(in_order=True, width=1, reorder=1, mispredict=6, history=0, misses=3),
    Memory(
        l1_kb=16, l1_ways=4, l2_kb=0, l2_ways=1, l2_latency=0, l2_line=0, dram_latency=121, dram_line=25,
        tlb1=10, tlb1_penalty=2, tlb2=64, tlb2_penalty=100, line=32, prefetches=False, write_allocates=False,
    ),
    mhz=1000,
    peak=2,
    code="a32",
    error=0.1,
    compared=False,
)  # fmt: skip
