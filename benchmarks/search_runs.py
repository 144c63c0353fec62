"""The searches of search.py, replayed on a table or live: what each cost, and how much slower its model is."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.search_tables import Bench
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.measure.base import Measurer
from ellopt.measure.replay import ReplayMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.table import Table
from ellopt.search.driver import search
from ellopt.search.evidence.constants import DEFAULTS, Constants
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.select.winners import choose_winners
from ellopt.space.space import ModelSpace

#: Of one variant in the original: two builds, of each a run with 10 passes of warm-up and 20 timed ones.
SWEEP_RUNS = 2
SWEEP_PASSES = SWEEP_RUNS * (10 + 20)
#: Between the visits of a live search, as when a model is tuned.
VISIT_SPACING = MeasureSettings.visit_spacing
#: Visits in which a live search's model is compared, as between processes variants differ; an even number, since the
#: two models change places from one to the next.
LIVE_VISITS = 16
_LIVE_SCHEDULE = Schedule(kind="bench", warm_up=3, rounds=4, turn_passes=6)


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
