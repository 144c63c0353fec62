"""Numbers as readers get them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: below this, times are shown in microseconds; from the other on, beside them, in milliseconds
_SHORT_MS, _LONG_MS = 0.1, 10.0


def significant(value: float, digits: int = 3) -> str:
    """``value`` with so many significant digits and no exponent: 0.0123, 1.23, 12.3, 123, 1230."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of what it is rounded to: 0.9996 is 1.00
    decimals = max(0, digits - 1 - exponent)
    return f"{value:.{decimals}f}"


def milliseconds(value: float | None) -> str:
    """A time given in milliseconds, with its unit: microseconds below 0.1 ms."""
    if value is None:
        return "–"
    return _microseconds(value) if 0 < value < _SHORT_MS else f"{significant(value)} ms"


def _microseconds(ms: float) -> str:
    return f"{significant(1e3 * ms)} µs"


@dataclass(frozen=True)
class TimeUnit:
    """What the times of a column or an axis are shown in: ``scale`` of it are a millisecond."""

    name: str
    scale: float
    decimals: int

    def text(self, ms: float) -> str:
        """``ms`` without the unit, unless it is another one: short times among long ones are in microseconds."""
        if self.name == "ms" and 0 < ms < _SHORT_MS:
            return _microseconds(ms)
        return f"{self.scale * ms:.{self.decimals}f}"


def unit_of(times_ms: Iterable[float | None], name: str = "", scale: float = 0.0) -> TimeUnit:
    """The unit for times that stand below each other: microseconds where some are short and none is long, or the one
    that is given."""
    times = [time for time in times_ms if time is not None]
    largest = max(times, default=0.0)
    if not name:
        short = 0 < min((time for time in times if time > 0), default=0.0) < _SHORT_MS
        name, scale = ("µs", 1e3) if short and largest < _LONG_MS else ("ms", 1.0)
    largest *= scale
    if name == "µs":
        return TimeUnit(name, scale, 1)
    return TimeUnit(name, scale, 3 if largest < 100 else 2 if largest < 1000 else 1 if largest < 10_000 else 0)


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
