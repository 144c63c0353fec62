"""What the terminal shows of reports, as plain text."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, RenderableType

from ellopt.report.compare.compare import ReportComparison
from ellopt.report.compare.text import comparison_lines
from ellopt.report.document import TuningReport
from ellopt.report.text import closing


def plain(content: RenderableType, width: int = 120) -> str:
    """What a console without colours shows of ``content``, without spaces at the ends of lines."""
    written = io.StringIO()
    console = Console(file=written, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(content)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def closing_text(report: TuningReport, directory: Path | None = None, width: int = 120) -> str:
    return plain(closing(report, directory), width)


def comparison_text(comparison: ReportComparison, width: int = 120) -> str:
    return plain(comparison_lines(comparison), width)
