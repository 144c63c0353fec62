"""An ELL profile report as a table for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ellopt.core.numbers import unit_of
from ellopt.frontends.ell.profile import ProfileReport, type_times
from ellopt.report.tables import WordTable


def profile_table(report: ProfileReport) -> Table:
    """The report for a terminal: its nodes, the slowest types, the whole."""
    shown = WordTable(box=None, pad_edge=False, header_style="dim", footer_style="bold", show_footer=True)
    whole = report.ms
    counts = (node.count for node in report.nodes)
    passes = report.model.count if report.model is not None else max(counts, default=0)
    shown.add_column("node", footer="all")
    if report.has_ancestors:
        shown.add_column("made of")
    shown.add_column("type", footer=f"{passes} passes")
    unit = unit_of([whole, *(node.ms for node in report.nodes)])
    shown.add_column(f"{unit.name} a pass", justify="right", footer=unit.text(whole))
    shown.add_column("share", justify="right")

    def add(node_id: str, ancestor: str, kind: str, ms: float, style: str = "") -> None:
        cells = [Text(node_id), *([Text(ancestor)] if report.has_ancestors else []), Text(kind)]
        share = f"{ms / whole:.1%}" if whole > 0 else ""
        shown.add_row(*cells, unit.text(ms), share, style=style)

    if report.form:
        shown.title = Text("passed through LLVM's opt and llc" if report.form == "opt" else "ELL's compile alone")

    for node in report.nodes:
        add(node.node_id, node.ancestor or "", node.type_name, node.ms)
    shown.add_section()
    for row in sorted(type_times(report.nodes), key=lambda row: -row.time_ms):
        add("", "", row.type_name, row.time_ms / passes if passes else 0.0, "dim")
    return shown
