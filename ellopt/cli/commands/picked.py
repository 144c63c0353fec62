"""What picking winners from profile reports came to, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from ellopt.cli.commands.failures import exit_code, show_failure
from ellopt.core.numbers import milliseconds
from ellopt.frontends.ell.profile import CLOCK_STEP_MS
from ellopt.report.tables import WordTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ellopt.app.from_reports import Picked, PickedModel


def _shown(ms: float) -> str:
    return milliseconds(ms) if ms > CLOCK_STEP_MS else f"at most {milliseconds(CLOCK_STEP_MS)}"


def _summary(picked: Picked) -> WordTable:
    """A row a layer for the terminal."""
    table = WordTable(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.title = Text(f"{picked.model.name}, from {picked.reports} profile reports")
    for heading in ("layer", "winner", "time", "next", "time", "report"):
        table.add_column(heading, justify="right" if heading == "time" else "left", no_wrap=heading == "time")
    for node_id, measured in picked.layers.items():
        name = picked.model.by_id[node_id].name
        best = measured[0] if measured else None
        other = next((m for m in measured if best is not None and m.options != best.options), None)
        table.add_row(
            Text(f"{node_id} {name}".strip()),
            str(picked.plan[node_id]),
            _shown(best.ms) if best else "",
            str(other.options) if other else "",
            _shown(other.ms) if other else "",
            Text(best.path.name if best else "not measured: ELL's default"),
        )
    return table


def show_picked(models: Sequence[PickedModel], console: Console) -> int:
    """Show the winners of every model, and an error line for every other. Returns the exit code."""
    for model in models:
        if model.picked is not None:
            console.print(_summary(model.picked))
            console.print(
                "A report holds one total a layer: whether a difference is more than noise cannot be told from it."
            )
            console.print(f"Files: {model.directory}", markup=False, highlight=False, soft_wrap=True)
        elif model.error is not None:
            show_failure(model.file.path, model.error, console)
    return exit_code([model.error for model in models if model.error is not None])
