"""Cortex-A53: in order, two at a time.

Its issue rules are those that the authors of ncnn found: a 64-bit vector load cannot issue beside a multiply-add, but
beside an insertion; a 128-bit one takes two cycles alone; integer loads and arithmetic go beside a multiply-add; no
vector load in the fourth cycle after one. Latencies follow public measurements. 32-bit code goes through the same
pipelines: a q register there is as wide as here, and a multiply-add that rounds twice takes no longer.
"""

from __future__ import annotations

from dataclasses import replace

from ellopt.estimate.cores.base import Core, Memory, Pipeline, Timing, Uop
from ellopt.estimate.instruction import Instruction

#: Two for integers, loads and stores, the vector unit, a bar between multiply-adds and vector loads, branches, products
_ALU0, _ALU1, _MEMORY, _VECTOR, _BAR, _BRANCH, _PRODUCT = (1 << n for n in range(7))
_ALU = _ALU0 | _ALU1


def timing(i: Instruction) -> Timing:
    kind, parts = i.kind, 2 if i.wide else 1
    barred = Uop(_BAR, 1)
    if i.is_branch:
        return Timing((Uop(_BRANCH, 1),))
    if kind in ("alu", "alu_shift"):
        return Timing((Uop(_ALU, 1 if kind == "alu" else 2),))
    if kind == "mul":
        return Timing((Uop(_PRODUCT, 4),))
    if kind == "div":
        return Timing((Uop(_PRODUCT, 12, 10),))
    if kind in ("load_x", "prefetch"):
        n = i.double_words
        return Timing((Uop(_MEMORY, 3 + max(0, n - 2), n),))
    if kind == "load_v":
        n = i.moved * parts
        return Timing((Uop(_MEMORY, 3 + n, n), Uop(_BAR, 1, n)), alone=n > 1, vector_load=True)
    if kind in ("load_dup", "load_lane"):
        return Timing((Uop(_MEMORY, 5), barred), vector_load=True)
    if kind == "load_interleaved":
        n = i.moved * (parts + 1)
        return Timing((Uop(_MEMORY, 5 + n, n), Uop(_BAR, 1, n), Uop(_VECTOR, 1, n)), alone=True, vector_load=True)
    if kind == "store_x":
        return Timing((Uop(_MEMORY, 1, i.double_words),))
    if i.is_store:
        n = i.moved * parts
        return Timing((Uop(_MEMORY, 1, n), Uop(_BAR, 1, n)), alone=n > 1)
    if kind == "fmla":
        return Timing((Uop(_VECTOR, 8), barred))
    if kind in ("fmul", "fadd", "fminmax", "fcvt", "fcmp", "dot", "vmul", "vmul_long", "to_general"):
        return Timing((Uop(_VECTOR, 4), barred))
    if kind == "fdiv":
        return Timing((Uop(_VECTOR, 13 * parts, 10 * parts), barred))
    if kind in ("from_general", "dup_general", "insert_general", "permute"):
        return Timing((Uop(_VECTOR, 3),))
    if kind in ("vlogic", "vimm", "fmove", "vshift"):
        return Timing((Uop(_VECTOR, 3), barred))
    return Timing()


CORTEX_A53 = Core(
    "cortex-a53",
    "Cortex-A53",
    timing,
    Pipeline(in_order=True, width=2, reorder=1, mispredict=7, history=10, load_gap=4, accumulator_late=4, misses=3),
    Memory(
        l1_kb=32, l1_ways=4, l2_kb=512, l2_ways=16, l2_latency=12, l2_line=4, dram_latency=170, dram_line=35,
        tlb1=10, tlb1_penalty=2, tlb2=512, tlb2_penalty=25,
    ),
    mhz=1400,
    peak=8,
)  # fmt: skip
CORTEX_A53_32 = replace(CORTEX_A53, name="cortex-a53-32", title="Cortex-A53, 32-bit code", code="a32", compared=False)
#: A Zero 2 has a slower clock, and memory that is as far away in time.
CORTEX_A53_ZERO = replace(
    CORTEX_A53_32,
    name="cortex-a53-32-zero2",
    memory=replace(CORTEX_A53.memory, dram_latency=121, dram_line=25),
    mhz=1000,
)
