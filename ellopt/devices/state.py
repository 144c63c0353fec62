"""Reads what a Linux board says of itself: clock governor, frequency, temperature, throttling, load."""

from __future__ import annotations

from collections.abc import Sequence

from ellopt.core.samples import DeviceState

#: Of a processor's time, what /proc/stat counts in: USER_HZ of every Linux ABI that a board has.
TICKS_PER_SECOND = 100
#: vcgencmd get_throttled: under-voltage, frequency capped, throttled, soft temperature limit, each at this moment
_THROTTLED_NOW = 0xF


def read_state(lines: Sequence[str], foreign: float | None = None) -> DeviceState:
    """The state in a board's answer. What the board does not offer, or says in an unknown form, is None.

    ``foreign`` is what is known of the load that others made; the answer itself holds the load average.
    """
    facts: dict[str, str] = {}
    for line in lines:
        word, separator, rest = line.replace("throttled=", "throttled ", 1).partition(" ")
        if separator:
            facts.setdefault(word, rest.strip())
    frequency = _number(facts.get("frequency"))
    temperature = _number(facts.get("temperature"))
    return DeviceState(
        governor=facts.get("governor"),
        frequency_mhz=None if frequency is None else frequency / 1000,
        temperature_c=None if temperature is None else temperature / 1000,
        throttled=_throttled(facts.get("throttled")),
        load=_number(facts.get("load", "").split(" ")[0]),
        foreign_load=foreign,
    )


def foreign_load(before: str, after: str, own_seconds: float, cpus: int) -> float | None:
    """How many CPUs others kept busy, on average, between two readings of the first line of ``/proc/stat``.

    ``own_seconds`` is the CPU time that our own command took in between. None where that cannot be told.
    """
    first, last = _ticks(before), _ticks(after)
    if first is None or last is None or cpus < 1:
        return None
    (busy0, total0), (busy1, total1) = first, last
    if total1 <= total0:
        return None
    return max(0.0, (busy1 - busy0 - own_seconds * TICKS_PER_SECOND) * cpus / (total1 - total0))


def _ticks(line: str) -> tuple[int, int] | None:
    """Busy and all ticks of all CPUs."""
    fields = line.split()
    if len(fields) < 5 or fields[0] != "cpu" or not all(field.isdigit() for field in fields[1:]):
        return None
    values = [int(field) for field in fields[1:9]]  # user nice system idle iowait irq softirq steal
    return sum(values) - sum(values[3:5]), sum(values)


def _throttled(text: str | None) -> bool | None:
    try:
        return None if text is None else bool(int(text, 16) & _THROTTLED_NOW)
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
