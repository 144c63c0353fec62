"""Which decoder knows which instruction set."""

from __future__ import annotations

from collections.abc import Callable

from ellopt.estimate.a32 import decode as a32
from ellopt.estimate.a64 import decode as a64
from ellopt.estimate.instruction import Instruction, InstructionSet

DECODERS: dict[InstructionSet, Callable[[int], Instruction]] = {"a64": a64.decode, "a32": a32.decode}
