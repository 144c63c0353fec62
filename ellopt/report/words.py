"""How numbers and names are written for readers: the same in the page, the terminal and Markdown."""

from __future__ import annotations

from datetime import UTC, datetime

from ellopt.core.numbers import TimeUnit as TimeUnit
from ellopt.core.numbers import less as less
from ellopt.core.numbers import milliseconds as milliseconds
from ellopt.core.numbers import percent as percent
from ellopt.core.numbers import significant as significant
from ellopt.core.numbers import unit_of as unit_of
from ellopt.core.statistics import Comparison
from ellopt.report.document import TuningReport


def change(gain: float) -> str:
    """A gain (share of the time saved) as the change of the latency: 0.2 -> "−20 %"."""
    return percent(-gain, sign=True)


def time_saved(gain: float) -> str:
    """A gain in words: 0.2 -> "20 % less time"."""
    return f"{less(gain)} time"


def speed_up(gain: float) -> str:
    """How many times as fast something is that takes ``gain`` less time: 0.65 -> "2.86×"."""
    if gain >= 1:
        return "–"
    ratio = 1 / (1 - gain)
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.0f}×"


def interval(comparison: Comparison) -> str:
    """The confidence interval of the change of the latency, from the better to the worse end: "−63 to −61 %"."""
    best, worst = change(comparison.gain_high), change(comparison.gain_low)
    return f"{best.removesuffix(' %')} to {worst}"


def duration(seconds: float) -> str:
    """40 ms, 1.2 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if 0 < seconds < 0.0995:
        return f"{significant(1e3 * seconds, 2)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(created: str) -> str:
    """An ISO 8601 moment for a reader: 2026-03-01 10:20 UTC. Anything else is left as it is."""
    try:
        return datetime.fromisoformat(created).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return created


def sentence(text: str) -> str:
    """``text`` with a capital and exactly one full stop; nothing stays nothing."""
    text = text.strip()
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def count(number: int, noun: str, plural: str = "") -> str:
    """1 trial, 2 trials."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def operations(multiply_adds: int) -> str:
    """Multiply-adds with a unit: 1.23 M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if multiply_adds >= limit:
            return f"{significant(multiply_adds / limit)} {unit}"
    return str(multiply_adds)


def before_and_after(report: TuningReport) -> tuple[float | None, float | None]:
    """Confirmed latencies of the whole model before (ELL's default) and after, ms; None where not confirmed."""
    latencies = {c.name: c.latency_ms for c in report.confirmation.candidates}
    return latencies.get(report.confirmation.before), latencies.get(report.confirmation.chosen)
