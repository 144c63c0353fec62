"""How a model of a pipeline counts A32's registers: vectors in units that no instruction splits.

s0 to s31 are a unit each; d0 is s0 and s1, and so on to d15; d16 to d31, which have no single parts, are a unit each. A
q register is two d registers.
"""

from __future__ import annotations

#: 0 to 14 are general ones (13 is the stack pointer, 14 the link); the program counter is never waited for.
SP, LINK, PC = 13, 14, 15
_SINGLES, _UPPER_DOUBLES, FLOAT_FLAGS = 16, 48, 65


def general(*numbers: int) -> tuple[int, ...]:
    """General registers by number, without the program counter."""
    return tuple(n for n in numbers if n != PC)


def listed(mask: int) -> tuple[int, ...]:
    """General registers of a list of 16 bits, without the program counter."""
    return tuple(n for n in range(PC) if mask >> n & 1)


def single(*numbers: int) -> tuple[int, ...]:
    """The units of s registers."""
    return tuple(_SINGLES + n % 32 for n in numbers)


def double(*numbers: int) -> tuple[int, ...]:
    """The units of d registers."""
    units: list[int] = []
    for n in numbers:
        n %= 32
        units += (_SINGLES + 2 * n, _SINGLES + 2 * n + 1) if n < 16 else (_UPPER_DOUBLES + n - 16,)
    return tuple(units)


def vector(number: int, wide: bool) -> tuple[int, ...]:
    """The units of the d register ``number``, or of the q register that begins with it."""
    return double(number, number + 1) if wide else double(number)


def lane(number: int, index: int, log_bytes: int) -> tuple[int, ...]:
    """The units that the element ``index`` of a d register lies in."""
    if number % 32 >= 16 or log_bytes > 2:
        return double(number)
    return single(2 * (number % 32) + (index << log_bytes >> 2))
