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
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table as TextTable

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.devices.local import LocalPool
from ellopt.frontends.discover import discover
from ellopt.frontends.ell.read import read_model
from ellopt.measure.base import Measurer
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.replay import ReplayMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.table import Table
from ellopt.model.graph import Model
from ellopt.search.driver import search
from ellopt.search.evidence.constants import DEFAULTS, Constants
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.select.winners import choose_winners
from ellopt.space.space import LayerSpace, ModelSpace, SearchSpace, find_options_file, narrow
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain

MODELS = ("tutorial160", "vgg64", "mobile128", "resnet64")
SAMPLERS = ("auto", "tpe", "random", "grid")
#: Of one variant in the original: two builds, of each a run with 10 passes of warm-up and 20 timed ones.
SWEEP_RUNS = 2
SWEEP_PASSES = SWEEP_RUNS * (10 + 20)
#: Rounds of each visit in which a table is recorded, and timed passes of each turn.
ROUNDS_PER_VISIT, PASSES_PER_TURN = 6, 3
#: Variants of a layer that take so many times the fastest one's latency are recorded together.
SLOW = 1.5
#: Seconds between the visits of a live search, as when a model is tuned.
VISIT_SPACING = MeasureSettings.visit_spacing
_TWO_PASSES = Schedule(warm_up=0, rounds=1, settle=False)
_ONE_PASS = replace(_TWO_PASSES, turn_warm_up=0)
#: Visits in which a live search's model is compared, as between processes variants differ; an even number, since the
#: two models change places from one to the next.
LIVE_VISITS = 16
_LIVE_SCHEDULE = Schedule(kind="bench", warm_up=3, rounds=4, turn_passes=6)
_MODELS_DIR = Path(__file__).resolve().parents[2] / "shared" / "models"


@dataclass(frozen=True)
class Bench:
    """A model, ready to be measured here."""

    name: str
    model: Model
    space: ModelSpace
    toolchain: NativeToolchain
    directory: Path

    @classmethod
    def of(cls, name: str, models_dir: Path, options: str, directory: Path) -> Bench:
        toolchain = NativeToolchain()
        file = discover(models_dir, [name])[0]
        model = toolchain.prepare(read_model(file.path))
        space = SearchSpace.load(find_options_file(options))
        narrowed = narrow(space, toolchain.layers(model), toolchain, find_target("host"))
        return cls(name, model, narrowed, toolchain, directory)

    def measurer(self, visit_spacing: float = 0.0) -> DeviceMeasurer:
        settings = MeasureSettings(visit_spacing=visit_spacing)
        directory = self.directory / self.name
        return DeviceMeasurer(self.model, self.toolchain, LocalPool(), find_target("host"), directory, settings)

    def sweep_plans(self) -> list[Plan]:
        """The plans of the original sweep: one for each combination, what does not apply being ELL's default."""
        target = find_target("host")
        original = SearchSpace.load(find_options_file("default"))

        def plan(options: ConvolutionOptions) -> Plan:
            return self.space.plan(lambda s: self.toolchain.canonical(s.shape, options, target) or s.default)

        return [plan(options) for options in original.combinations()]


def measure_table(bench: Bench, rounds: int) -> Table:
    """Measure every variant of every layer, all interleaved.

    Visits are short, as those of a search are: much of what disturbs a visit stays the same as long as it lasts.
    """
    measurer = bench.measurer()
    began = time.monotonic()
    measurer.prepare(bench.space)
    build_seconds = time.monotonic() - began
    space = _only_right(bench.space, measurer)
    generator = np.random.default_rng(0)
    schedule = Schedule(warm_up=1, rounds=ROUNDS_PER_VISIT, turn_passes=PASSES_PER_TURN)
    slowness = _slowness(measurer.measure(_mixed(space, generator, {}), schedule))
    plans = [_mixed(space, generator, slowness) for _ in range(math.ceil(rounds / ROUNDS_PER_VISIT))]
    recorded = [measurer.measure(some, schedule) for some in plans]
    passes = [min(len(o.samples.total_ms) for o in outcomes if o.samples) for outcomes in recorded]

    def joined(values: Callable[[PlanSamples], Sequence[float]]) -> npt.NDArray[np.float64]:
        visits = [
            [values(outcome.samples)[:count] for outcome in outcomes if outcome.samples]
            for outcomes, count in zip(recorded, passes, strict=True)
        ]
        return np.concatenate([np.array(visit) for visit in visits], axis=1)

    layers_ms = {s.node_id: joined(_of_layer(s.node_id)) for s in bench.space.layers}
    run_seconds, check_seconds = _overheads(bench)
    about = {
        "model": bench.name,
        "board": measurer.board(),
        "toolchain": bench.toolchain.version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return Table(
        space=space,
        plans=tuple(plans),
        layers_ms=layers_ms,
        others_ms=joined(lambda samples: samples.total_ms) - sum(layers_ms.values()),
        visits=tuple(v for v, count in enumerate(passes) for _ in range(count)),
        rounds=tuple(i // PASSES_PER_TURN for count in passes for i in range(count)),
        run_seconds=run_seconds,
        check_seconds=check_seconds,
        build_seconds=build_seconds,
        about=about,
    )


def _of_layer(node_id: str) -> Callable[[PlanSamples], Sequence[float]]:
    return lambda samples: samples.layers_ms[node_id]


def _mixed(
    space: ModelSpace, generator: np.random.Generator, slowness: Mapping[tuple[str, ConvolutionOptions], float]
) -> tuple[Plan, ...]:
    """Plans in which every variant and default of every layer occurs, mixed by chance.

    What runs in parallel is together, and what does not: a thread that slept through the layers before is late. What is
    slow by ``slowness`` is together, too: in the milliseconds that it takes, what the other layers left in the caches
    is lost. What reads the same weights is, so that these settle there once.
    """
    plans: list[Plan] = []
    for parallel in (False, True):
        columns = []
        for layer in space.layers:
            options = list(dict.fromkeys((*layer.variants, layer.default)))
            some = [o for o in options if o.parallelize == parallel] or options
            some = [some[i] for i in generator.permutation(len(some))]
            ways = [o.way for o in some]
            some.sort(key=lambda o: ways.index(o.way))
            slow = {o: slowness.get((layer.node_id, o), 1.0) for o in some}
            fast = [o for o in some if slow[o] < SLOW * min(slow.values())]
            columns.append((layer.node_id, fast, sorted((o for o in some if o not in fast), key=slow.__getitem__)))
        most = max(len(fast) + len(rest) for _, fast, rest in columns)
        choices = {
            node_id: [*(fast[t * len(fast) // (most - len(rest))] for t in range(most - len(rest))), *rest]
            for node_id, fast, rest in columns
        }
        plans += Plan.covering(choices)
    return tuple(plans)


def _slowness(
    outcomes: Sequence[Trial],
) -> dict[tuple[str, ConvolutionOptions], float]:
    """By node id and options, the median milliseconds in a visit."""
    found: dict[tuple[str, ConvolutionOptions], list[float]] = {}
    for outcome in outcomes:
        for node_id, values in (outcome.samples.layers_ms if outcome.samples else {}).items():
            found.setdefault((node_id, outcome.plan[node_id]), []).extend(values)
    return {key: float(np.median(values)) for key, values in found.items()}


def _only_right(space: ModelSpace, measurer: DeviceMeasurer) -> ModelSpace:
    """``space`` without the variants that compute something wrong."""
    measurer.check(space.covering_plans())
    wrong = {(failure.shape, failure.options) for failure in measurer.failures}
    layers = tuple(
        LayerSpace(s.layer, tuple(o for o in s.variants if (s.shape, o) not in wrong), s.default) for s in space.layers
    )
    distinct = sum(len(s.variants) for s in layers)
    return ModelSpace(space.options_file, layers, space.original_combinations, space.valid, distinct)


def _overheads(bench: Bench) -> tuple[float, float]:
    """What starting a job costs beyond its passes, and what checking adds to a pass, in seconds: medians."""
    starts, checks = [], []
    for _ in range(9):
        measurer = bench.measurer()  # a new one has everything to check
        measurer.prepare(bench.space)
        seconds, passed_ms = [0.0], 0.0
        for schedule in (_TWO_PASSES, _TWO_PASSES, _ONE_PASS):
            outcome = measurer.measure([bench.space.default_plan], schedule)[0]
            assert outcome.samples is not None
            seconds.append(measurer.costs.board_seconds)
            passed_ms = outcome.samples.total_ms[0]
        checking, passing, starting = np.diff(seconds)
        checks.append(float(checking - passing))
        starts.append(float(starting) - passed_ms / 1000)
    return max(0.0, float(np.median(starts))), max(0.0, float(np.median(checks)))


def sweep_seconds(bench: Bench, table: Table) -> float:
    """Board seconds of the original sweep, passes and starts of its programs, as a search's board seconds are.

    A variant that the table does not hold counts as its nearest.
    """
    plans = bench.sweep_plans()
    passes = sum(table.plan_ms(_nearest(table, plan)) for plan in plans) * SWEEP_PASSES / 1000
    return passes + len(plans) * SWEEP_RUNS * table.run_seconds


def _nearest(table: Table, plan: Plan) -> dict[str, ConvolutionOptions]:
    def distance(a: ConvolutionOptions, b: ConvolutionOptions) -> float:
        unlike = 100.0 * (a.method != b.method) + 30.0 * (a.parallelize != b.parallelize)
        unlike += 10.0 * (a.winograd_tile_size != b.winograd_tile_size) + 5.0 * (a.gemm_blocking != b.gemm_blocking)
        return unlike + sum(abs(math.log2((x or 8) / (y or 8))) for x, y in zip(a.depths, b.depths, strict=True))

    return {node: min(table.rows[node], key=partial(distance, options)) for node, options in plan.items()}


def run_search(
    space: ModelSpace, measurer: Measurer, sampler: str, seed: int, constants: Constants
) -> tuple[SearchResult, Plan, float]:
    """A whole search: its result, the plan it ends with, and the seconds of this machine that it took."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        settings = SearchSettings(sampler=sampler, seed=seed, constants=constants)
        result = search(space, measurer, settings, Path(directory))
        return result, choose_winners(result).plan, time.monotonic() - began


def replay(
    table: Table, sweep: float, sampler: str, seed: int, spoiled: float, constants: Constants = DEFAULTS
) -> dict[str, Any]:
    """One search replayed on the table: what it cost and how much is lost.

    Every other visit of the table is what samplers see, with all that disturbed it; by all of its samples, the
    exhaustive winner is chosen. Both plans are compared by the visits between: what won by luck does not win again.
    """
    seen, confirming = table.halves()
    result, plan, seconds = run_search(table.space, ReplayMeasurer(seen, seed, spoiled), sampler, seed, constants)
    return {
        "sampler": sampler,
        "seed": seed,
        "spoiled": spoiled,
        "loss": confirming.ratio(plan, seen.best_plan) - 1,
        "wall_seconds": seconds,
        **_costs(result, sweep),
    }


def _costs(result: SearchResult, sweep: float) -> dict[str, Any]:
    return {
        "builds": result.cost.builds,
        "board_seconds": result.cost.board_seconds,
        "share_of_sweep": result.cost.board_seconds / sweep,
        "observations": result.cost.observations,
        "trials": len(result.trials),
        "pruned": result.cost.trials_pruned,
        "saved_seconds": result.cost.saved_seconds,
        "stopped_because": result.cost.stopped_because,
    }


def live(
    bench: Bench, table: Table, sweep: float, sampler: str, seed: int, constants: Constants = DEFAULTS
) -> dict[str, Any]:
    """One search for real, its model against the exhaustive winner in turns, and ELL's default by itself."""
    result, plan, seconds = run_search(bench.space, bench.measurer(VISIT_SPACING), sampler, seed, constants)
    measurer = bench.measurer()
    measurer.prepare(bench.space)
    visits = []
    for visit in range(LIVE_VISITS):
        order = -1 if visit % 2 else 1
        visits.append(_medians_ms(measurer.measure([plan, table.best_plan][::order], _LIVE_SCHEDULE))[::order])
    found, best = np.array(visits).T
    default = _medians_ms(measurer.measure([bench.space.default_plan], _LIVE_SCHEDULE))
    losses = found / best - 1
    low, high = np.quantile(_bootstrapped_medians(losses), (0.025, 0.975))
    return {
        "sampler": sampler,
        "seed": seed,
        "loss": float(np.median(losses)),
        "loss_low": float(low),
        "loss_high": float(high),
        "median_ms": float(np.median(found)),
        "exhaustive_ms": float(np.median(best)),
        "default_ms": float(np.median(default)),
        "unlike_exhaustive": {n: [str(plan[n]), str(o)] for n, o in table.best_plan.items() if plan[n] != o},
        "wall_seconds": seconds,
        **_costs(result, sweep),
    }


def _medians_ms(outcomes: Sequence[Trial]) -> list[float]:
    assert all(outcome.samples for outcome in outcomes), "a plan that the table or the search holds failed"
    return [float(np.median(outcome.samples.total_ms)) for outcome in outcomes if outcome.samples]


def _bootstrapped_medians(values: npt.NDArray[np.float64], times: int = 2000) -> npt.NDArray[np.float64]:
    picks = np.random.default_rng(0).integers(len(values), size=(times, len(values)))
    return np.asarray(np.median(values[picks], axis=1))


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
