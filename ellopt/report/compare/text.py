"""A comparison of two runs for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ellopt.files.terminal import printable
from ellopt.report import words
from ellopt.report.compare.compare import LayerDifference, ReportComparison, drift_remark, headline
from ellopt.report.document import TuningReport
from ellopt.report.tables import WordTable
from ellopt.report.text import Encodable

_STYLES = {"faster": "green", "slower": "red", "same": "dim"}


def comparison_lines(comparison: ReportComparison) -> RenderableType:
    """The comparison as a rich renderable."""
    parts: list[RenderableType] = [
        Text(printable(f"A: {describe_run(comparison.a)}")),
        Text(printable(f"B: {describe_run(comparison.b)}")),
        *(Text(printable(f"Not alike: {reason}"), style="yellow") for reason in comparison.unlike),
        *(Text(printable(f"Also different: {remark}"), style="dim") for remark in comparison.remarks),
        Text(""),
        _table(comparison),
        Text(""),
        Text(headline(comparison), style="bold"),
    ]
    if drift := drift_remark(comparison):
        parts.append(Text(drift, style="dim"))
    return Encodable(Group(*parts))


def describe_run(report: TuningReport) -> str:
    _, after = words.before_and_after(report)
    result = f", {words.milliseconds(after)}" if after is not None else ""
    return f"{report.model} on {report.target}, {words.moment(report.created)}{result}"


def _table(comparison: ReportComparison) -> Table:
    table = WordTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("layer", "winner A", "winner B"):
        table.add_column(name, overflow="fold")
    unit = words.unit_of(x.winner_ms for d in comparison.layers for x in (d.a, d.b) if x)
    for name in (f"A {unit.name}", f"B {unit.name}", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    for layer in comparison.layers:
        table.add_row(*_row(layer, unit))
    return table


def _row(layer: LayerDifference, unit: words.TimeUnit) -> tuple[Text, ...]:
    style = _STYLES.get(layer.verdict, "yellow")
    times = [unit.text(x.winner_ms) if x else "–" for x in (layer.a, layer.b)]
    winners = [printable(str(x.winner)) if x else "–" for x in (layer.a, layer.b)]
    return (
        Text(printable(layer.title)),
        Text(winners[0]),
        Text(winners[1] if layer.changed or not layer.a else "same", style="" if layer.changed else "dim"),
        Text(times[0]),
        Text(times[1]),
        Text(words.change(layer.comparison.gain) if layer.comparison else "–", style=style),
        Text(layer.verdict, style=style),
    )
