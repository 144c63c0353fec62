"""Numbers as readers get them."""

from __future__ import annotations

import math


def significant(value: float, digits: int = 3) -> str:
    """``value`` with so many significant digits and no exponent: 0.0123, 1.23, 12.3, 123, 1230."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
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
