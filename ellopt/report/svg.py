"""Small pieces of SVG: elements, scales with round ticks. Every text and attribute is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from ellopt.report.words import significant


def number(value: float) -> str:
    """A coordinate: one decimal at most."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def element(name: str, *children: str, text: str = "", **attributes: str | float | None) -> str:
    """An element. ``children`` are SVG already; ``text`` is escaped.

    ``class_`` stands for class, ``text_anchor`` for text-anchor.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        shown = value if isinstance(value, str) else number(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    inner = escape(text, quote=False) + "".join(children)
    opening = " ".join(parts)
    return f"<{opening}>{inner}</{name}>" if inner else f"<{opening}/>"


def label(x: float, y: float, text: str, **attributes: str | float | None) -> str:
    return element("text", x=x, y=y, text=text, **attributes)


def picture(
    identity: str, width: float, height: float, title: str, description: str, body: Iterable[str], role: str = "img"
) -> str:
    """A whole inline SVG with its title and description tied to it for screen readers. ``role``: ``group`` where there
    are links in it."""
    return element(
        "svg",
        element("title", id=f"{identity}-title", text=title),
        element("desc", id=f"{identity}-desc", text=description),
        *body,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role=role,
        aria_labelledby=f"{identity}-title {identity}-desc",
        xmlns="http://www.w3.org/2000/svg",
    )


def dots(points: Iterable[tuple[float, float]], class_: str) -> str:
    """Many round dots in one path: zero-length strokes with round caps."""
    path = "".join(f"M{number(x)} {number(y)}h0" for x, y in points)
    return element("path", d=path, class_=class_) if path else ""


@dataclass(frozen=True)
class Scale:
    """Maps values to positions, linearly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int = 6) -> list[float]:
        if self.logarithmic:
            found: list[float] = []
            for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
                found = [
                    step * 10.0**power
                    for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                    for step in steps
                    if self.low <= step * 10.0**power <= self.high
                ]
                if len(found) >= 4:
                    break
            return found
        rough = (self.high - self.low) / wanted
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def scale_for(
    values: Iterable[float], start: float, end: float, *, zero: bool = False, log_above: float = 5.0
) -> Scale:
    """A scale that holds all values with some air; logarithmic when they differ by more than ``log_above``."""
    known = [v for v in values if math.isfinite(v) and (v > 0 or zero)]
    low, high = (min(known), max(known)) if known else (0.5, 1.0)
    if zero:
        return Scale(0.0, high if high > 0 else 1.0, start, end)
    if high / low > log_above:
        return Scale(low / 1.1, high * 1.1, start, end, logarithmic=True)
    air = max((high - low) * 0.06, high * 0.004)
    return Scale(max(0.0, low - air), high + air, start, end)


def tick_text(value: float, ticks: list[float]) -> str:
    """A tick's number with the decimals its neighbours need."""
    gaps = [abs(b - a) for a, b in pairwise(ticks) if b != a]
    if not gaps:
        return significant(value, 2)
    if min(gaps) * 1.001 < max(gaps):  # logarithmic: each number by itself
        return f"{value:g}"
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9))
    if abs(round(min(gaps), decimals) - min(gaps)) > 1e-9 * min(gaps):
        decimals += 1  # steps of 2.5
    return f"{value:.{decimals}f}"
