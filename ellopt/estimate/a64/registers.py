"""How a model of a pipeline counts A64's registers."""

from __future__ import annotations

#: 0 to 30 are general ones, then the stack pointer and 32 vectors.
SP, VECTORS = 31, 32


def general(*numbers: int) -> tuple[int, ...]:
    """General registers by number, where 31 is the zero register."""
    return tuple(n for n in numbers if n != SP)


def vector(*numbers: int) -> tuple[int, ...]:
    """Vector registers by number."""
    return tuple(VECTORS + n % 32 for n in numbers)
