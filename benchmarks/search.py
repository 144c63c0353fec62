"""What each sampler costs, and how much slower than the best its model is.

For every model a table of all distinct variants is measured once, live, and kept as a file. Searches are then
replayed on it, with the real noise, over many seeds, without a compiler or a device: builds, seconds of board time,
observations, and loss (latency of the model it ends with over that of the exhaustive winner). With ``--live`` the
searches also run for real, and the model that they end with is measured against the exhaustive winner in one
interleaved run.

The cost to compare with is the original's sweep: every combination of search_spaces/default.json built and run twice,
30 passes each.

    python -m benchmarks.search --json search.json --plot search.png
    python -m benchmarks.search --models tutorial160 --samplers auto,tpe --seeds 100 --live 5
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.search_report import plot, show, summary
from benchmarks.search_runs import SWEEP_RUNS, live, replay, sweep_seconds
from benchmarks.search_tables import Bench, measure_table
from ellopt.measure.table import Table
from ellopt.search.evidence.constants import DEFAULTS

MODELS = ("tutorial160", "vgg64", "mobile128", "resnet64")
SAMPLERS = ("auto", "tpe", "random", "grid")
_MODELS_DIR = Path(__file__).resolve().parents[2] / "shared" / "models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="names, comma-separated")
    parser.add_argument("--models_dir", type=Path, default=_MODELS_DIR)
    parser.add_argument("--options", default="default", help="options file of the searches")
    parser.add_argument("--tables", type=Path, default=Path("out/search_tables"), help="where tables are kept")
    parser.add_argument("--rounds", type=int, default=80, help="rounds that a table is measured")
    parser.add_argument(
        "--samplers", "--strategies", default=",".join(SAMPLERS), help="names or import paths, comma-separated"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another value of a constant of the search"
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--spoiled", default="0,0.3", help="shares of samples to spoil, comma-separated")
    parser.add_argument("--live", type=int, default=0, metavar="N", help="run auto N times for real too")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON; - is standard output")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot loss against cost")
    arguments = parser.parse_args()
    constants = DEFAULTS.with_(arguments.set)
    console = Console(stderr=arguments.json == "-")
    console.width = max(console.width, 110)  # the table's, rather than titles cut short where output is no terminal
    results: dict[str, Any] = {}
    for name in arguments.models.split(","):
        bench = Bench.of(name, arguments.models_dir, arguments.options, arguments.tables / "bundles")
        file = arguments.tables / f"{name}-{Path(arguments.options).stem}.json"
        if not file.exists():
            console.print(f"{name}: measuring {bench.space.distinct} variants")
            file.parent.mkdir(parents=True, exist_ok=True)
            measure_table(bench, arguments.rounds).save(file)
        table = Table.load(file)
        sweep = sweep_seconds(bench, table)
        runs = [
            replay(table, sweep, sampler, seed, float(spoiled), constants)
            for sampler in arguments.samplers.split(",")
            for spoiled in arguments.spoiled.split(",")
            for seed in range(arguments.seeds)
        ]
        results[name] = {
            "about": dict(table.about),
            "sweep_seconds": sweep,
            "sweep_builds": SWEEP_RUNS * len(bench.sweep_plans()),
            "best_ms": table.plan_ms(table.best_plan),
            "default_ms": table.plan_ms(table.space.default_plan),
            "distinct": table.space.distinct,
            "summary": summary(runs),
            "runs": runs,
            "live": [live(bench, table, sweep, "auto", seed, constants) for seed in range(arguments.live)],
        }
        show(console, name, results[name])
    if arguments.plot:
        plot(results, arguments.plot)
    if arguments.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        data = {"machine": machine, "options": arguments.options, "set": arguments.set}
        text = json.dumps({**data, "models": results}, indent=1)
        if arguments.json == "-":
            sys.stdout.write(text + "\n")
        else:
            Path(arguments.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
