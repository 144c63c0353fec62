"""A processor as the simulator sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ellopt.estimate.instruction import Instruction, InstructionSet


@dataclass(frozen=True)
class Uop:
    """A part of an instruction: it takes any one of ``ports`` (a bit each) for ``cycles``; its result is there after
    ``latency``."""

    ports: int
    latency: int
    cycles: int = 1


@dataclass(frozen=True)
class Timing:
    """What an instruction takes. ``alone``: in order, nothing issues beside it. ``vector_load``: see ``load_gap``."""

    uops: tuple[Uop, ...] = ()
    alone: bool = False
    vector_load: bool = False


@dataclass(frozen=True)
class Pipeline:
    """Numbers of a processor's pipeline; latencies and penalties in cycles.

    ``width``: instructions issued (in order) or dispatched in a cycle. ``reorder``: instructions under way out of
    order. ``mispredict``: what a wrongly predicted branch costs. ``history``: bits of earlier branches that a
    prediction goes by. ``load_gap``: no vector load this many cycles behind a multiply-add; 0 for no such rule.
    ``accumulator_late``: by how much later a chain of multiply-adds needs what it adds to. ``misses``: loads that may
    miss at once, in order.
    """

    in_order: bool
    width: int
    reorder: int
    mispredict: int
    history: int
    load_gap: int = 0
    accumulator_late: int = 0
    misses: int = 8


@dataclass(frozen=True)
class Memory:
    """Caches (KiB, ways), what a miss costs beyond a hit in the first, and how long a line takes the way from the level
    below. The second and third level are 0 where there is none. TLBs: entries, and cycles of a miss.

    ``l2_shared``: all cores share the second level. ``line``: bytes of a line, a power of two. ``prefetches``: whether
    what is read in equal steps is there ahead of time. ``write_allocates``: whether a line that is written is taken
    into the first level.
    """

    l1_kb: int
    l1_ways: int
    l2_kb: int
    l2_ways: int
    l2_latency: int
    l2_line: int
    dram_latency: int
    dram_line: int
    tlb1: int
    tlb1_penalty: int
    tlb2: int
    tlb2_penalty: int
    l3_kb: int = 0
    l3_ways: int = 1
    l3_latency: int = 0
    l2_shared: bool = True
    line: int = 64
    prefetches: bool = True
    write_allocates: bool = True


@dataclass(frozen=True)
class Core:
    """A processor. ``mhz`` is the clock that its boards run at; ``peak`` FLOP in a cycle, fp32; ``code``: what it
    executes; ``title``: what readers call it.

    ``error``: how far estimates are off on average, as a share, by benchmarks/estimate.py (see docs/estimates.md);
    where published times were not ``compared``, a guess below which a lead is a tie.
    """

    name: str
    title: str
    timing: Callable[[Instruction], Timing]
    pipeline: Pipeline
    memory: Memory
    mhz: int
    peak: int
    code: InstructionSet = "a64"
    error: float = 0.05
    compared: bool = True
