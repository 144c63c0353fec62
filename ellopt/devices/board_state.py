"""Reads what a Linux board says of itself: clock governor, frequency, temperature, throttling, load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ellopt.measurement import DeviceState

_TICKS_PER_SECOND = 100  # USER_HZ of every Linux ABI that a board has
#: vcgencmd get_throttled: under-voltage, frequency capped, throttled, soft temperature limit, each at this moment
_THROTTLED_NOW = 0xF


@dataclass(frozen=True)
class CpuTimes:
    """Counters of ``/proc/stat`` over all CPUs, in ticks."""

    busy: int
    total: int
    cpus: int


def read_state(
    lines: Sequence[str], previous: CpuTimes | None, own_cpu_seconds: float
) -> tuple[CpuTimes | None, DeviceState]:
    """The state in a board's answer. What the board does not offer, or says in an unknown form, is None.

    ``load`` is the number of CPUs that others kept busy since ``previous``, of which ``own_cpu_seconds`` were our
    own; without ``previous`` it is the load average of the last minute.
    """
    facts: dict[str, str] = {}
    cpus = 0
    for line in lines:
        word, separator, rest = line.replace("throttled=", "throttled ", 1).partition(" ")
        if word.startswith("cpu") and word[3:].isdigit():
            cpus += 1
        elif separator:
            facts.setdefault(word, rest.strip())
    frequency = _number(facts.get("frequency"))
    temperature = _number(facts.get("temperature"))
    times = _cpu_times(facts.get("cpu"), cpus)
    return times, DeviceState(
        governor=facts.get("governor"),
        frequency_mhz=None if frequency is None else frequency / 1000,
        temperature_c=None if temperature is None else temperature / 1000,
        throttled=_throttled(facts.get("throttled")),
        load=_load(facts.get("load"), times, previous, own_cpu_seconds),
    )


def _cpu_times(text: str | None, cpus: int) -> CpuTimes | None:
    fields = (text or "").split()
    if len(fields) < 4 or not all(field.isdigit() for field in fields) or not cpus:
        return None
    values = [int(field) for field in fields[:8]]  # user nice system idle iowait irq softirq steal
    idle = sum(values[3:5])
    return CpuTimes(busy=sum(values) - idle, total=sum(values), cpus=cpus)


def _load(text: str | None, now: CpuTimes | None, before: CpuTimes | None, own_cpu_seconds: float) -> float | None:
    if now and before and now.total > before.total:
        elapsed = (now.total - before.total) / now.cpus
        return max(0.0, (now.busy - before.busy - own_cpu_seconds * _TICKS_PER_SECOND) / elapsed)
    return _number((text or "").split(" ")[0])


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
