"""Cortex-A72: out of order, three at a time. From Arm's software optimisation guide for it.

It gives 32-bit code the same latencies: 7 cycles for a multiply-add, rounded once or twice, by vector or by lane, and 3
from one to the next that adds to its result; several registers are loaded two words a cycle.
"""

from __future__ import annotations

from dataclasses import replace

from ellopt.estimate.cores.base import Core, Memory, Pipeline, Timing, Uop
from ellopt.estimate.instruction import NO, Instruction

#: Integers (two pipelines), many-cycle ones, branches, loads, stores, two halves of the vector unit
_INTEGER, _MULTI, _BRANCH, _LOAD, _STORE, _F0, _F1 = 3, 4, 8, 16, 32, 64, 128
_F = _F0 | _F1
#: kind -> (pipelines, latency); on 128-bit vectors the 64-bit pipelines take each half
_HALVED = {
    "fmla": (_F, 7), "fmul": (_F, 4), "fadd": (_F, 4), "fminmax": (_F, 3), "fcmp": (_F, 3), "fcvt": (_F, 3),
    "vmul": (_F0, 4), "vmul_long": (_F0, 4), "dot": (_F0, 4),
}  # fmt: skip
_WHOLE = {
    "vshift": (_F1, 3), "permute": (_F, 3), "vlogic": (_F, 3), "vimm": (_F, 3), "fmove": (_F, 3),
    "to_general": (_F, 5), "from_general": (_LOAD, 5), "alu": (_INTEGER, 1), "alu_shift": (_MULTI, 2),
}  # fmt: skip


def timing(i: Instruction) -> Timing:
    kind = i.kind
    if kind in _HALVED:
        ports, latency = _HALVED[kind]
        return Timing((Uop(ports, latency),) * (2 if i.wide else 1))
    if kind in _WHOLE:
        return Timing((Uop(*_WHOLE[kind]),))
    if i.is_branch:
        return Timing((Uop(_BRANCH, 1),))
    if kind == "mul":
        return Timing((Uop(_MULTI, 4 if i.x else 3),))
    if kind == "div":
        return Timing((Uop(_MULTI, 12, 10),))
    if kind == "fdiv":
        return Timing((Uop(_F0, 11, 7),) * (2 if i.wide else 1))
    if kind in ("dup_general", "insert_general"):
        return Timing((Uop(_LOAD, 5), Uop(_F, 8)))
    return Timing(_memory(i) + ((Uop(_INTEGER, 1),) if i.writeback != NO else ()))


def _memory(i: Instruction) -> tuple[Uop, ...]:
    kind, n = i.kind, i.moved
    if kind in ("load_x", "prefetch"):
        return tuple(Uop(_LOAD, 4 + max(0, j - 1)) for j in range(i.double_words))
    if kind == "load_v":
        return tuple(Uop(_LOAD, 5 + j) for j in range(n))
    if kind in ("load_dup", "load_lane"):
        return (Uop(_LOAD, 5), Uop(_F, 8))
    if kind == "load_interleaved":
        return tuple(Uop(_LOAD, 5 + j) for j in range(n)) + tuple(Uop(_F, 8 + j // 2) for j in range(n))
    if i.is_store:
        pieces = i.double_words if kind == "store_x" and n > 2 else n * (2 if i.wide else 1)
        return (Uop(_STORE, 1),) * pieces
    return ()


CORTEX_A72 = Core(
    "cortex-a72",
    "Cortex-A72",
    timing,
    Pipeline(in_order=False, width=3, reorder=128, mispredict=15, history=14, accumulator_late=4),
    Memory(
        l1_kb=32, l1_ways=2, l2_kb=1024, l2_ways=16, l2_latency=16, l2_line=4, dram_latency=200, dram_line=25,
        tlb1=32, tlb1_penalty=5, tlb2=1024, tlb2_penalty=30,
    ),
    mhz=1800,
    peak=8,
)  # fmt: skip
CORTEX_A72_32 = replace(CORTEX_A72, name="cortex-a72-32", title="Cortex-A72, 32-bit code", code="a32", compared=False)
