"""The table that a run of several models ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from ellopt.files.terminal import printable
from ellopt.report import words
from ellopt.report.document import TuningReport
from ellopt.report.explain import model_gain
from ellopt.report.tables import WordTable
from ellopt.report.text import Encodable


@dataclass(frozen=True)
class ModelRow:
    """A model: its ``tag``, its report or ``why`` there is none, and the directory with its files."""

    tag: str
    directory: Path
    report: TuningReport | None = None
    why: str = ""


def several(rows: Sequence[ModelRow]) -> RenderableType:
    """A row a model: latencies of the whole model before and after, and where its files are."""
    failed = sum(row.report is None for row in rows)
    title = f"{words.count(len(rows) - failed, 'model')} tuned" + (f", {failed} failed" if failed else "")
    table = WordTable(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0),
        header_style="dim",
    )  # fmt: skip
    table.add_column("model", overflow="fold")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("files", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return Encodable(table)


def _cells(row: ModelRow) -> tuple[Text, ...]:
    tag = Text(printable(row.tag))
    if row.report is None:
        return tag, Text(), Text("failed", style="red"), Text(), Text(printable(row.why), style="dim")
    before, after = words.before_and_after(row.report)
    gain = model_gain(row.report)
    return (
        tag,
        Text(words.milliseconds(before)),
        Text(words.milliseconds(after), style="bold"),
        Text("" if gain is None else words.change(gain), style="green" if gain and gain > 0 else ""),
        Text(printable(str(row.directory))),
    )
