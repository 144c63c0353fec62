"""The closing table of a run, for the terminal (rich) and as plain text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ellopt.files.terminal import printable, shortened
from ellopt.report import words
from ellopt.report.document import TuningReport
from ellopt.report.explain import accurate, doubt, evidence, layer_gain, model_gain, states, verdict, written
from ellopt.report.tables import WordTable
from ellopt.select.decisions import LayerReport

_STYLES = {"faster": "green", "tie": "yellow", "not significant": "yellow", "as default": "dim"}

#: where MLflow shows a store that is no server
MLFLOW_UI = "http://127.0.0.1:5000"
#: What stands for a sign where the terminal cannot show it; each of the same width.
_PLAIN_SIGNS = str.maketrans({"−": "-", "×": "x", "–": "-", "…": ".", "µ": "u", "“": '"', "”": '"'})


@dataclass(frozen=True)
class Encodable:
    """Renders ``content`` with signs that the console's encoding has: a pipe on Windows may know few."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.content, options):
            if options.ascii_only:
                text = segment.text.translate(_PLAIN_SIGNS)
                text = text.encode(options.encoding, "replace").decode(options.encoding)
                yield Segment(text, segment.style, segment.control)
            else:
                yield segment


def closing(report: TuningReport, directory: Path | None = None) -> RenderableType:
    """What a run ends with: a row a convolution layer, the whole model before and after, where everything is.

    ``directory`` is the output folder. Names are shown as they are: neither markup nor control characters in
    them have any effect.
    """
    parts: list[RenderableType] = [_table(report), *_whole(report)]
    if report.emulated:
        parts.append(Text("Emulated times: they say nothing of a real board.", style="yellow"))
    if report.estimate is not None:
        parts.append(Text(report.estimate.remark, style="yellow"))
    for name, why in report.boards.set_aside.items():
        parts.append(Text(f"Set aside: {printable(name)}: {printable(why)}", style="yellow"))
    if report.boards.retries:
        parts.append(Text(f"{words.count(report.boards.runs, 'run')} on boards, {report.boards.retries} repeated."))
    parts += _places(report, directory)
    return Encodable(Group(*parts))


def _table(report: TuningReport) -> Table:
    table = WordTable(
        title=Text(
            f"{printable(report.model)} on {printable(report.target)}{' (estimated)' if report.estimate else ''}"
        ),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    table.add_column("layer", overflow="fold")
    table.add_column("winner", overflow="fold")
    times = [time for layer in report.layers for time in (layer.winner_ms, layer.default_ms)]
    unit = words.unit_of(times) if report.estimate is None else words.unit_of(times, "k cycles", report.estimate.mhz)
    table.add_column(unit.name, justify="right", no_wrap=True)
    table.add_column(f"default {unit.name}", justify="right", no_wrap=True)
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for layer in report.layers:
        table.add_row(*_row(layer, unit))
    return table


def _row(layer: LayerReport, unit: words.TimeUnit) -> tuple[Text, ...]:
    style = _STYLES.get(verdict(layer), "")
    gain = layer_gain(layer)
    return (
        Text(printable(f"{layer.node_id} {shortened(layer.name)}".strip())),
        Text(printable(str(layer.winner)), style=style),
        Text(unit.text(layer.winner_ms) if layer.winner_ms else ""),  # empty: not measured
        Text(unit.text(layer.default_ms) if layer.default_ms else ""),
        Text("" if gain is None else words.change(gain), style=style),
        Text(printable(_why(layer)), style="dim"),
    )


def _why(layer: LayerReport) -> str:
    """The verdict in a few words; the whole sentence is in the page."""
    if layer.tie and layer.runner_up:
        text = f"tie with {layer.runner_up}"
    elif layer.runner_up and layer.against_runner_up is not None:
        text = f"{words.less(layer.against_runner_up.gain)} than {layer.runner_up}"
    else:
        text = layer.why.removesuffix(".")
    if verdict(layer) in ("not significant", "as default"):
        text = f"{verdict(layer)}; {_continued(text)}" if text else verdict(layer)
    if layer.ell_options:
        text += f"; for ELL itself: {layer.ell_options}"
    return text


def _continued(sentence: str) -> str:
    """It in the middle of another: without a capital, but for a name's."""
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _whole(report: TuningReport) -> list[Text]:
    before, after = words.before_and_after(report)
    if before is None or after is None:
        return [Text("\nThe whole model was not confirmed by a fresh measurement.", style="yellow")]
    gain = model_gain(report) or 0.0
    line = Text("\nWhole model: ")
    line.append(f"{words.milliseconds(before)} before, ")
    line.append(f"{words.milliseconds(after)} after", style="bold")
    line.append(f", {words.speed_up(gain)} as fast")
    if found := evidence(report):
        line.append(f" ({words.time_saved(gain)}, 95 % confidence {words.interval(found)})")
    line.append("; confirmed by a fresh measurement." if report.estimate is None else "; by estimate.")
    lines = [line, Text(printable(written(report)))]
    if accuracy := accurate(report):
        lines.append(Text(accuracy))
    for remark in (states(report), doubt(report)):
        if remark:
            lines.append(Text(printable(words.sentence(remark)), style="yellow"))
    return lines


def _places(report: TuningReport, directory: Path | None) -> list[Text]:
    lines = []
    if directory is not None:
        lines.append(Text(printable(f"Files: {directory}")))
    elif report.files:
        lines.append(Text(printable(f"Files: {', '.join(report.files)}")))
    lines += [Text(printable(line)) for line in _tracked(report.mlflow_run, directory)]
    return lines


def _tracked(run: Mapping[str, str], directory: Path | None) -> Iterator[str]:
    """Where MLflow shows the run: its address there, and the command that serves the store it is in."""
    if not run.get("run_id"):
        return
    store, page = run.get("tracking_uri", ""), run.get("page", "")
    if page:
        yield f"MLflow: {store if store.startswith('http') else MLFLOW_UI}/{page}"
    else:
        yield f"MLflow: run {run['run_id']}{f' at {store}' if store else ''}"
    if directory is not None:
        yield f"Open it: ellopt ui {shlex.quote(str(directory))}"
