"""Numbers as readers get them."""

from __future__ import annotations

import math


def significant(value: float, digits: int = 3) -> str:
    """``value`` with so many significant digits and no exponent: 0.0123, 1.23, 12.3, 123, 1230."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of what it is rounded to: 0.9996 is 1.00
    decimals = max(0, digits - 1 - exponent)
    return f"{value:.{decimals}f}"


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{significant(value)} ms"


def percent(share: float, sign: bool = False) -> str:
    """A share as per cent: one decimal below 10 %; ``sign`` writes + and a true minus."""
    value = share * 100
    digits = 1 if abs(value) < 9.95 else 0
    text = f"{abs(value):.{digits}f} %"
    if float(f"{abs(value):.{digits}f}") == 0:
        return text
    if sign:
        return ("+" if value > 0 else "−") + text
    return text if value >= 0 else "−" + text


def less(gain: float) -> str:
    """A gain without saying of what: "20 % less" or "3 % more"."""
    return f"{percent(abs(gain))} {'less' if gain >= 0 else 'more'}"


def storage(count: int) -> str:
    """Bytes with a unit: 0 B, 812 B, 1.46 KB, 23.4 MB (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, iter(("KB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 999.5 and (following := next(units, "")):
        value, unit = value / 1000, following
    return f"{significant(value)} {unit}"
