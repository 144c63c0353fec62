"""The report's charts as SVG text: samples as strips with their quartiles, and the course of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ellopt.core.statistics import quantile
from ellopt.core.trial import TrialState
from ellopt.report.svg import Scale, dots, element, label, number, picture, scale_for, tick_text
from ellopt.report.words import TimeUnit, duration, milliseconds, unit_of

WIDTH = 880
ROW = 26
LABEL_WIDTH = 292
VALUE_WIDTH = 96

#: Drawn per strip at most; more are thinned evenly (the median and quartiles come from all).
DOTS_PER_STRIP = 120


def method_class(method: str) -> str:
    """The CSS class that gives a convolution method its colour."""
    return f"m-{method}"


@dataclass(frozen=True)
class Strip:
    """A row of a strip chart. ``mark`` is a short word behind its name, such as "winner"; ``hollow``: faint dots."""

    name: str
    samples_ms: Sequence[float]
    class_: str = "m-other"
    mark: str = ""
    strong: bool = False
    hollow: bool = False
    score_ms: float | None = None  # the line; none is drawn without it


def _thinned(samples: Sequence[float]) -> Sequence[float]:
    if len(samples) <= DOTS_PER_STRIP:
        return samples
    step = len(samples) / DOTS_PER_STRIP
    return [samples[int(index * step)] for index in range(DOTS_PER_STRIP)]


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def strip_chart(identity: str, title: str, strips: Sequence[Strip]) -> str:
    """One row a strip: every sample a dot, the box from the first to the third quartile, the score a line.

    Samples far beyond the slowest strip's upper quartile are drawn as an arrow at the right edge, so that one
    disturbed pass does not squeeze all others together.
    """
    strips = [s for s in strips if s.samples_ms]
    if not strips:
        return ""
    start, end = LABEL_WIDTH, WIDTH - VALUE_WIDTH
    slowest = max(quantile(s.samples_ms, 0.75) for s in strips)
    low = min(min(s.samples_ms) for s in strips)
    scores = [s.score_ms for s in strips if s.score_ms is not None]
    slowest, low = max([slowest, *scores]), min([low, *scores])
    limit = slowest + max(0.15 * slowest, 0.25 * (slowest - low))
    shown_ms = [*(v for s in strips for v in s.samples_ms if v <= limit), *scores]
    scale = scale_for(shown_ms, start, end)
    top = 8
    bottom = top + ROW * len(strips)
    body = _x_axis(scale, top, bottom, unit_of(shown_ms))
    described = []
    for index, strip in enumerate(strips):
        middle = top + ROW * index + ROW / 2
        quarter, three = (quantile(strip.samples_ms, q) for q in (0.25, 0.75))
        weight = "strong" if strip.strong else None
        if strip.strong:
            body.append(element("rect", x=0, y=middle - ROW / 2, width=WIDTH, height=ROW, rx=5, class_="highlight"))
        body.append(element("circle", cx=9, cy=middle, r=5, class_=f"swatch {strip.class_}"))
        name = _short(strip.name, 34 - len(strip.mark))
        children = [element("tspan", text=strip.mark, dx=7, class_="mark")] if strip.mark else []
        body.append(element("text", *children, text=name, x=22, y=middle + 4, class_=weight))
        width = max(scale(three) - scale(quarter), 1.5)
        body.append(
            element("rect", x=scale(quarter), y=middle - 7, width=width, height=14, rx=2, class_=f"box {strip.class_}")
        )
        shown = [v for v in _thinned(strip.samples_ms) if v <= scale.high]
        points = [(scale(v), middle + (-3, 0, 3)[i % 3]) for i, v in enumerate(shown)]
        body.append(dots(points, f"samples {strip.class_}{' faint' if strip.hollow else ''}"))
        if strip.score_ms is not None:
            x = scale(strip.score_ms)
            body.append(element("line", x1=x, x2=x, y1=middle - 9, y2=middle + 9, class_=f"median {strip.class_}"))
            value = milliseconds(strip.score_ms)
            body.append(label(WIDTH - 4, middle + 4, value, text_anchor="end", class_=weight))
        beyond = sum(v > scale.high for v in strip.samples_ms)
        if beyond:
            path = f"M{number(end - 5)} {number(middle - 4)}l5 4l-5 4"
            body.append(element("path", d=path, class_="beyond"))
        also = f", {beyond} beyond the right edge" if beyond else ""
        said = f" ({strip.mark})" if strip.mark else ""
        score = "" if strip.score_ms is None else f"{milliseconds(strip.score_ms)}, "
        described.append(f"{strip.name}{said}: {score}{len(strip.samples_ms)} samples{also}")
    return picture(identity, WIDTH, bottom + 40, title, "; ".join(described) + ".", body)


def _x_axis(scale: Scale, top: float, bottom: float, unit: TimeUnit) -> list[str]:
    ticks = scale.ticks()
    body = []
    for tick, text in zip(ticks, _tick_texts(ticks, unit), strict=True):
        x = scale(tick)
        body.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        body.append(label(x, bottom + 16, text, text_anchor="middle", class_="axis"))
    body.append(label(scale.end, bottom + 33, _axis_name(scale, unit), text_anchor="end", class_="axis"))
    return body


def _tick_texts(ticks: Sequence[float], unit: TimeUnit) -> list[str]:
    scaled = [unit.scale * tick for tick in ticks]
    return [tick_text(tick, scaled) for tick in scaled]


def _axis_name(scale: Scale, unit: TimeUnit) -> str:
    return unit.name + (", logarithmic" if scale.logarithmic else "")


@dataclass(frozen=True)
class Step:
    """A trial in the course of a search: where it stood in board-seconds, what it took, best known after it."""

    board_seconds: float
    total_ms: float | None
    state: TrialState
    best_ms: float | None


def progress_chart(identity: str, steps: Sequence[Step], before_ms: float | None = None) -> str:
    """Best latency so far (a falling line) and every trial (dots) against the board-seconds spent."""
    values = [v for s in steps for v in (s.total_ms, s.best_ms) if v is not None and v > 0]
    if not values:
        return ""
    height, left, top = 320, 64, 26
    bottom, right = height - 48, WIDTH - 14
    across = scale_for([0.0, *(s.board_seconds for s in steps)], left, right, zero=True)
    up = scale_for([*values, *([before_ms] if before_ms else [])], bottom, top)
    body = _x_axis(across, top, bottom, TimeUnit("seconds of measuring", 1.0, 0))
    ticks, unit = up.ticks(5), unit_of([*values, before_ms])
    for tick, text in zip(ticks, _tick_texts(ticks, unit), strict=True):
        body.append(element("line", x1=left, x2=right, y1=up(tick), y2=up(tick), class_="grid"))
        body.append(label(left - 8, up(tick) + 4, text, text_anchor="end", class_="axis"))
    body.append(label(left, 13, _axis_name(up, unit), class_="axis"))
    if before_ms:
        y = up(before_ms)
        body.append(element("line", x1=left, x2=right, y1=y, y2=y, class_="before"))
        body.append(label(right - 4, y - 6, "ELL's default", text_anchor="end", class_="axis"))
    for state in TrialState:
        points = [(across(s.board_seconds), up(s.total_ms)) for s in steps if s.state is state and s.total_ms]
        if state is TrialState.COMPLETE:
            body.append(dots(points, "trial complete"))
        else:
            cross = "".join(f"M{number(x - 3)} {number(y - 3)}l6 6m0 -6l-6 6" for x, y in points)
            body.append(element("path", d=cross, class_=f"trial {state}") if cross else "")
    line = _staircase([(across(s.board_seconds), up(s.best_ms)) for s in steps if s.best_ms], right)
    body.append(element("path", d=line, class_="best"))
    finished = [s.best_ms for s in steps if s.best_ms]
    description = f"{len(steps)} trials over {duration(steps[-1].board_seconds)} of measuring"
    if finished:
        description += f"; the best known latency goes from {milliseconds(finished[0])} to {milliseconds(finished[-1])}"
    return picture(identity, WIDTH, height, "Best latency so far against time spent measuring", description + ".", body)


def _staircase(points: Sequence[tuple[float, float]], right: float) -> str:
    if not points:
        return ""
    path = f"M{number(points[0][0])} {number(points[0][1])}"
    for x, y in points[1:]:
        path += f"H{number(x)}V{number(y)}"
    return path + f"H{number(right)}"
