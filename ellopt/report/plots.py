"""Plots as PNG files, for MLflow's artifacts and for slides. matplotlib is imported when the first one is drawn.

Figures are made without pyplot: no window, no global state, safe in any thread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.core.trial import TrialState
from ellopt.files.terminal import printable
from ellopt.report.document import TuningReport
from ellopt.report.explain import ordered_variants
from ellopt.report.words import before_and_after, median, percent
from ellopt.select.decisions import LayerReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"simple": "#b45f06", "unrolled": "#2b64ad", "winograd": "#0d7a68"}
_OTHER = "#6d7680"
#: Variants in a layer's plot.
_SHOWN = 15
#: Layers that get a plot of their own, those with the largest share of the time: a plot takes a quarter of a second.
LAYERS = 6


def write_plots(report: TuningReport, directory: Path, layers: int = LAYERS) -> tuple[Path, ...]:
    """Draw the plots of a report into ``directory`` (made if needed) and return their paths.

    ``before_after.png``, ``shares.png``, ``progress.png`` and ``layer_<place>_<node id>.png`` of the ``layers`` layers
    that take the most time; what the report has no data for is left out. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    figures: list[tuple[str, Figure | None]] = [
        ("before_after", whole_model_plot(report)),
        ("shares", shares_plot(report)),
        ("progress", progress_plot(report)),
    ]
    width = len(str(len(report.layers)))
    largest = sorted(report.layers, key=lambda layer: -layer.share_of_model)[:layers]
    for place, layer in enumerate(report.layers, 1):
        if layer not in largest:
            continue
        figures.append((f"layer_{place:0{width}d}_{_file_name(layer.node_id)}", layer_plot(layer)))
    paths = []
    for name, figure in figures:
        if figure is not None:
            path = directory / f"{name}.png"
            figure.savefig(path, dpi=120)
            paths.append(path)
    return tuple(paths)


def layer_plot(layer: LayerReport) -> Figure | None:
    """The fastest variants of a layer and ELL's default: samples and box, fastest on top."""
    variants = [v for v in ordered_variants(layer) if v.samples_ms and v.state == "measured" and not v.seldom]
    shown = variants[:_SHOWN] + [v for v in variants[_SHOWN:] if v.options == layer.default]
    if not shown:
        return None
    names = [_marked(v.options, winner=v.options == layer.winner, default=v.options == layer.default) for v in shown]
    title = f"Layer {layer.node_id} {layer.name}".rstrip()
    colours = [_colour(v.options) for v in shown]
    samples = [v.decided_ms or v.samples_ms for v in shown]
    return _strips(f"{title}\n{layer.shape}", names, samples, [v.median_ms for v in shown], colours)


def whole_model_plot(report: TuningReport) -> Figure | None:
    """The confirmation's candidates: whole passes of the model."""
    candidates = [c for c in report.confirmation.candidates if c.samples_ms]
    if not candidates:
        return None
    names = [c.name + ("  (chosen)" if c.name == report.confirmation.chosen else "") for c in candidates]
    colours = [_COLOURS["winograd"] if c.name == report.confirmation.chosen else _OTHER for c in candidates]
    samples, scores = [c.turns_ms or c.samples_ms for c in candidates], [c.latency_ms for c in candidates]
    return _strips(f"{report.model} on {report.target}: the whole model", names, samples, scores, colours)


def shares_plot(report: TuningReport) -> Figure | None:
    """Latency of every layer before (ELL's default) and after."""
    layers = report.layers
    if not layers:
        return None
    figure, axes = _figure(1.6 + 0.42 * len(layers))
    places = range(len(layers))
    axes.barh([p - 0.2 for p in places], [x.default_ms for x in layers], 0.36, color="#c9ced2", label="ELL's default")
    colours = [_colour(x.winner) for x in layers]
    axes.barh([p + 0.2 for p in places], [x.winner_ms for x in layers], 0.36, color=colours, label="winner")
    names = [f"{x.node_id} {x.name}".strip() for x in layers]
    _rows(axes, names)
    for place, layer in zip(places, layers, strict=True):
        text = f" {layer.winner}, {percent(layer.share_of_model)} of the model"
        axes.text(layer.winner_ms, place + 0.2, _plain(text), va="center", fontsize=7.5, color="#333333")
    axes.margins(x=0.25)
    axes.set_xlabel("ms")
    axes.set_title(_plain(f"{report.model} on {report.target}: layers before and after"), loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def progress_plot(report: TuningReport) -> Figure | None:
    """Best latency so far, and each trial, against board-seconds."""
    spent = list(accumulate(trial.board_seconds for trial in report.trials))
    trials = list(zip(spent, report.trials, strict=True))
    best = [(s, t.best_total_ms) for s, t in trials if t.best_total_ms is not None]
    if not best:
        return None
    figure, axes = _figure(4.0)
    for state, sign, colour in ((TrialState.COMPLETE, "o", "#7fa3d1"), (TrialState.PRUNED, "x", _COLOURS["simple"])):
        points = [(s, t.total_ms) for s, t in trials if t.state is state and t.total_ms is not None]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=14, marker=sign, color=colour, label=state.value, linewidths=1)
    x, y = zip(*best, strict=True)
    axes.step(x, y, where="post", color=_COLOURS["winograd"], linewidth=2, label="best so far")
    before, _ = before_and_after(report)
    if before is not None:
        axes.axhline(before, color=_OTHER, linewidth=1, linestyle="--", label="ELL's default")
    values = [t.total_ms for _, t in trials if t.total_ms] + [b for _, b in best if b]
    if max(values) > 5 * min(values):
        axes.set_yscale("log")
    axes.set_xlabel("board-seconds")
    axes.set_ylabel("ms")
    axes.set_title(_plain(f"{report.model} on {report.target}: the search"), loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, min(height, 60)), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e4e6e8", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _strips(
    title: str,
    names: Sequence[str],
    samples: Sequence[Sequence[float]],
    scores: Sequence[float | None],
    colours: Sequence[str],
) -> Figure:
    figure, axes = _figure(1.4 + 0.32 * len(names))
    boxes = axes.boxplot(
        list(samples), positions=range(len(names)), orientation="horizontal", widths=0.5, patch_artist=True,
        showfliers=False, medianprops={"linewidth": 0},
    )  # fmt: skip
    for place, (values, colour) in enumerate(zip(samples, colours, strict=True)):
        boxes["boxes"][place].set(facecolor=colour + "33", edgecolor=colour)
        heights = [place + (-0.14, 0.0, 0.14)[i % 3] for i in range(len(values))]
        axes.scatter(values, heights, s=7, color=colour, alpha=0.6, linewidths=0, zorder=3)
        score = scores[place]
        if score is not None:
            axes.plot([score, score], [place - 0.32, place + 0.32], color="#1d2327", linewidth=1.6, zorder=4)
    _rows(axes, names)
    medians = [median(values) if score is None else score for values, score in zip(samples, scores, strict=True)]
    lowest = min(min(values) for values in samples)
    if max(medians) > 5 * lowest:
        axes.set_xscale("log")
    else:
        axes.set_xlim(lowest - 0.06 * max(medians), max(medians) * 1.25)
    axes.set_xlabel("ms")
    axes.set_title(_plain(title), loc="left", fontsize=10)
    return figure


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_plain(name) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _marked(name: str, **marks: bool) -> str:
    """The name with the marks that hold: "unrolled  (winner, default)"."""
    held = ", ".join(mark for mark, holds in marks.items() if holds)
    return f"{name}  ({held})" if held else name


def _colour(options: str) -> str:
    return _COLOURS.get(options.split(" ", 1)[0], _OTHER)


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no formula between dollar signs."""
    return "\n".join(printable(line) for line in text.split("\n")).replace("$", r"\$")


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "_", text)[:60] or "layer"
