"""Cortex-A76: out of order, four at a time. From Arm's software optimisation guide for it."""

from __future__ import annotations

from ellopt.estimate.cores.base import Core, Memory, Pipeline, Timing, Uop
from ellopt.estimate.instruction import NO, Instruction

#: Integers (three pipelines, the last for many cycles), branches, two for loads and stores, data of stores, two vector
_S0, _S1, _MULTI, _BRANCH, _L0, _L1, _DATA, _V0, _V1 = (1 << n for n in range(9))
_INTEGER, _MEMORY, _V = _S0 | _S1 | _MULTI, _L0 | _L1, _V0 | _V1
_PLAIN = {
    "alu": (_INTEGER, 1), "alu_shift": (_MULTI, 2), "fmla": (_V, 4), "fmul": (_V, 3), "fadd": (_V, 2),
    "fminmax": (_V, 2), "fcmp": (_V, 2), "fmove": (_V, 2), "dot": (_V, 2), "vmul_long": (_V0, 4), "vshift": (_V1, 2),
    "vlogic": (_V, 2), "vimm": (_V, 2), "permute": (_V, 2), "to_general": (_V1, 2), "from_general": (_MULTI, 3),
    "dup_general": (_MULTI, 3),
}  # fmt: skip


def timing(i: Instruction) -> Timing:
    kind = i.kind
    if kind in _PLAIN:
        return Timing((Uop(*_PLAIN[kind]),))
    if i.is_branch:
        return Timing((Uop(_BRANCH, 1),))
    if kind == "mul":
        return Timing((Uop(_MULTI, 4 if i.x else 2),))
    if kind == "div":
        return Timing((Uop(_MULTI, 10, 8),))
    if kind == "fcvt":
        return Timing((Uop(_V0, 4, 2) if i.wide else Uop(_V0, 3),))
    if kind == "fdiv":
        return Timing((Uop(_V0, 10, 14 if i.wide else 7),))
    if kind == "vmul":
        return Timing((Uop(_V0, 4, 2 if i.wide else 1),))
    if kind == "insert_general":
        return Timing((Uop(_MULTI, 3), Uop(_V, 5)))
    return Timing(_memory(i) + ((Uop(_INTEGER, 1),) if i.writeback != NO else ()))


def _memory(i: Instruction) -> tuple[Uop, ...]:
    kind, n = i.kind, i.moved
    if kind in ("load_x", "prefetch"):
        return (Uop(_MEMORY, 4),) * max(1, n)
    if kind == "load_v":
        return tuple(Uop(_MEMORY, 5 + j // 2) for j in range(n))
    if kind in ("load_dup", "load_lane"):
        return (Uop(_MEMORY, 5), Uop(_V, 7))
    if kind == "load_interleaved":
        return (Uop(_MEMORY, 5),) * n + tuple(Uop(_V, 7 + j // 2) for j in range(n))
    if kind == "store_x":
        return (Uop(_MEMORY, 1), Uop(_DATA, 2))
    if i.is_store:
        return (Uop(_MEMORY, 1), Uop(_V, 2)) * n
    return ()


CORTEX_A76 = Core(
    "cortex-a76",
    "Cortex-A76",
    timing,
    Pipeline(in_order=False, width=4, reorder=128, mispredict=11, history=14, accumulator_late=2),
    Memory(
        l1_kb=64, l1_ways=4, l2_kb=512, l2_ways=8, l2_latency=7, l2_line=2, l3_kb=2048, l3_ways=16, l3_latency=35,
        dram_latency=280, dram_line=16, tlb1=48, tlb1_penalty=4, tlb2=1280, tlb2_penalty=30, l2_shared=False,
    ),
    mhz=2400,
    peak=16,
)  # fmt: skip
