"""The page's charts as SVG files, for MLflow's artifacts and for slides."""

from __future__ import annotations

import re
from pathlib import Path

from ellopt.files.terminal import printable
from ellopt.report import words
from ellopt.report.charts import progress_chart
from ellopt.report.diagram import network_diagram
from ellopt.report.document import TuningReport
from ellopt.report.html import progress_steps, whole_model_chart
from ellopt.report.pages import templates

#: What is no character in XML, besides those that are not printable.
_NO_CHARACTERS = re.compile("[\ufffe\uffff]")


def write_pictures(report: TuningReport, directory: Path) -> tuple[Path, ...]:
    """Write the charts of a report into ``directory`` (made if needed) and return their paths.

    ``before_after.svg`` (the whole model's candidates), ``layers.svg`` (the network, winners and shares of time)
    and ``progress.svg`` (the search); what the report has no data for is left out. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    before, _ = words.before_and_after(report)
    drawn = {
        "before_after": whole_model_chart(report),
        "layers": network_diagram(report) if report.layers else "",
        "progress": progress_chart("progress", progress_steps(report), before),
    }
    paths = []
    for name, svg in drawn.items():
        if svg:
            path = directory / f"{name}.svg"
            path.write_text(_alone(svg), encoding="utf-8")
            paths.append(path)
    return tuple(paths)


def _alone(svg: str) -> str:
    """An inline SVG as a file of its own: its colours come along, on paper of its own."""
    opening, rest = _NO_CHARACTERS.sub("�", printable(svg)).split(">", 1)
    style = templates().get_template("picture.css").render()
    return f"{opening}><style>{style}svg {{ background: var(--paper); }}</style>{rest}\n"
