"""What search.py tells of its searches: a summary of each sampler, a table in the terminal, a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as TextTable


def summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each sampler and share of spoiled samples."""
    rows = []
    for sampler, spoiled in sorted({(r["sampler"], r["spoiled"]) for r in runs}, key=str):
        some = [r for r in runs if (r["sampler"], r["spoiled"]) == (sampler, spoiled)]
        losses = [r["loss"] for r in some]
        rows.append(
            {
                "sampler": sampler,
                "spoiled": spoiled,
                "seeds": len(some),
                "loss_mean": float(np.mean(losses)),
                "loss_max": float(np.max(losses)),
                "board_seconds": float(np.mean([r["board_seconds"] for r in some])),
                "share_of_sweep_mean": float(np.mean([r["share_of_sweep"] for r in some])),
                "share_of_sweep_max": float(np.max([r["share_of_sweep"] for r in some])),
                "builds": float(np.mean([r["builds"] for r in some])),
                "observations": float(np.mean([r["observations"] for r in some])),
                "trials": float(np.mean([r["trials"] for r in some])),
            }
        )
    return rows


def show(console: Console, name: str, entry: Mapping[str, Any]) -> None:
    table = TextTable(title=f"{name}: the original sweep takes {entry['sweep_seconds']:.0f} s of board time")
    columns = "sampler", "spoiled", "seeds", "loss, mean", "loss, most", "board s", "of the sweep", "at most", "trials"
    for column in columns:
        table.add_column(column, justify="left" if column == "sampler" else "right")
    for row in entry["summary"]:
        table.add_row(
            row["sampler"], f"{row['spoiled']:.0%}", str(row["seeds"]), f"{row['loss_mean']:.2%}",
            f"{row['loss_max']:.2%}", f"{row['board_seconds']:.2f}", f"1/{1 / row['share_of_sweep_mean']:.0f}",
            f"1/{1 / row['share_of_sweep_max']:.0f}", f"{row['trials']:.0f}",
        )  # fmt: skip
    console.print(table)
    for run in entry["live"]:
        console.print(
            f"live, {run['sampler']}: {run['median_ms']:.3f} ms against {run['exhaustive_ms']:.3f} of the exhaustive "
            f"winner and {run['default_ms']:.3f} of ELL's default; loss {run['loss']:.2%} "
            f"({run['loss_low']:.2%} to {run['loss_high']:.2%}); {run['board_seconds']:.2f} s of board time, "
            f"1/{1 / run['share_of_sweep']:.0f} of the sweep; {run['wall_seconds']:.0f} s in all"
        )


def plot(models: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Loss against cost, one panel a model, one point a seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    rows = math.ceil(len(models) / 2)
    figure, axes = pyplot.subplots(
        rows, min(len(models), 2), figsize=(9, 1 + 2.8 * rows), squeeze=False, sharex=True, sharey=True
    )
    for axis, (name, entry) in zip(axes.flat, models.items(), strict=False):
        clean = [run for run in entry["runs"] if run["spoiled"] == 0]
        for sampler, marker in zip(dict.fromkeys(run["sampler"] for run in clean), cycle("osx+^v"), strict=False):
            some = [run for run in clean if run["sampler"] == sampler]
            cost = [100 * run["share_of_sweep"] for run in some]
            axis.plot(cost, [100 * run["loss"] for run in some], marker, alpha=0.7, label=sampler)
        axis.axvline(1.0, linestyle="--", color="gray", label="1/100 of the sweep")
        axis.axhline(1.0, linestyle=":", color="gray", label="1 % loss")
        axis.set(xscale="log", title=name)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:g}"))
    figure.supxlabel("board time in % of the original sweep's", fontsize="medium")
    figure.supylabel("loss in %", fontsize="medium")
    axes[-1][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
