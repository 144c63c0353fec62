"""What the simulator is told: a processor's numbers, and a row for each encoding in a program.

The C side (simulator/table.h) knows no instruction set. Both sides hold the layout: ``MAGIC`` must differ when it
does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import astuple

from ellopt.estimate.cores.base import Core, Timing
from ellopt.estimate.decoders import DECODERS
from ellopt.estimate.instruction import Instruction

MAGIC = b"ELLSIM03"
_MOST_REGISTERS, _MOST_UOPS = 36, 16
_ROW = struct.Struct(f"<I8B{_MOST_REGISTERS}B{_MOST_REGISTERS}B" + "HBB" * _MOST_UOPS)


def encode(core: Core, words: Iterable[int]) -> bytes:
    """The file for ``core`` and the encodings ``words``, which must ascend."""
    numbers = [int(value) for value in (*astuple(core.pipeline), *astuple(core.memory), core.code == "a32")]
    rows = [_row(core, word) for word in words]
    return MAGIC + struct.pack(f"<{len(numbers) + 2}i", len(numbers), *numbers, len(rows)) + b"".join(rows)


def _row(core: Core, word: int) -> bytes:
    instruction = DECODERS[core.code](word)
    timing = core.timing(instruction)
    sources = tuple(dict.fromkeys(instruction.sources))[:_MOST_REGISTERS]
    targets = tuple(dict.fromkeys(instruction.targets))[:_MOST_REGISTERS]
    uops = timing.uops[:_MOST_UOPS]
    flat = [value for uop in uops for value in (uop.ports, uop.latency, uop.cycles)]
    return _ROW.pack(
        word, _flags(instruction, timing), len(sources), len(targets), len(uops),
        instruction.accumulator, instruction.writeback, instruction.flops, instruction.accumulators,
        *sources, *(0,) * (_MOST_REGISTERS - len(sources)),
        *targets, *(0,) * (_MOST_REGISTERS - len(targets)),
        *flat, *(0,) * (3 * (_MOST_UOPS - len(uops))),
    )  # fmt: skip


def _flags(instruction: Instruction, timing: Timing) -> int:
    is_set = (
        instruction.is_load,
        instruction.is_store or instruction.kind == "prefetch",
        instruction.is_branch,
        instruction.is_conditional,
        instruction.kind == "fmla",
        timing.alone,
        timing.vector_load,
        instruction.kind == "unknown",
    )
    return sum(1 << place for place, flag in enumerate(is_set) if flag)
