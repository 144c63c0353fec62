"""Tables of pretended measurements, to replay searches on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionLayer
from ellopt.measure.table import Table
from ellopt.space.space import LayerSpace
from tests.support.pretend import PretendToolchain, layers, shape, small_space, smooth_latency

DEPTHS = (1, 2, 4, 8, 16)
MODEL_LAYERS = layers(
    shape(3, 16, size=64), shape(16, 32, size=32), shape(16, 32, size=32), shape(32, 32, field=1, size=32),
    shape(32, 64, size=16), shape(64, 64, depthwise=True, size=16), shape(64, 128, stride=2, size=16),
    shape(128, 128, size=8),
)  # fmt: skip


def pretend_table(
    seed: int = 0,
    noise: float = 0.02,
    slow_turns: float = 0.0,
    visits: int = 6,
    rounds: int = 4,
    model_layers: tuple[ConvolutionLayer, ...] = MODEL_LAYERS,
) -> Table:
    """A table of a model whose latencies have a structure.

    ``noise``: the deviation of each layer in each pass. ``slow_turns``: the share of turns in which something makes
    all layers 1.5 times slower.
    """
    space = small_space(PretendToolchain(model_layers), DEPTHS)
    latency = smooth_latency(seed, model_layers)
    generator = np.random.default_rng(seed)
    plans = tuple(_mixed(space.layers, generator) for _ in range(visits))
    passes = 2 * rounds
    turns = generator.random((len(plans[0]), visits * rounds)) < slow_turns
    slow = np.repeat(np.where(turns, 1.5, 1.0), 2, axis=1)

    def measured(node_id: str) -> np.ndarray:
        ms = np.array([[latency(node_id, plan[node_id]) for plan in done for _ in range(passes)] for done in plans])
        by_plan = np.concatenate([part.reshape(-1, passes) for part in ms], axis=1)
        return np.asarray(by_plan * slow * np.exp(generator.normal(0, noise, by_plan.shape)))

    return Table(
        space=space,
        plans=plans,
        layers_ms={s.node_id: measured(s.node_id) for s in space.layers},
        others_ms=0.5 * slow * np.exp(generator.normal(0, noise, slow.shape)),
        visits=tuple(v for v in range(visits) for _ in range(passes)),
        rounds=tuple(r for _ in range(visits) for r in range(rounds) for _ in range(2)),
        run_seconds=0.005,
        check_seconds=0.001,
        build_seconds=10.0,
        about={"board": "a table"},
    )


def _mixed(space_layers: Sequence[LayerSpace], generator: np.random.Generator) -> tuple[Plan, ...]:
    """Plans that hold every variant of every layer, those in parallel together."""
    plans: list[Plan] = []
    for parallel in (False, True):
        columns: dict[str, list[ConvolutionOptions]] = {}
        for s in space_layers:
            some = [o for o in dict.fromkeys((*s.variants, s.default)) if o.parallelize == parallel]
            columns[s.node_id] = [some[i] for i in generator.permutation(len(some))]
        plans += Plan.covering(columns)
    return tuple(plans)


def sweep_seconds(table: Table) -> float:
    """The original sweep: every combination of the options file built and run twice, 30 passes each."""
    by_plan = [
        sum(table.true_ms(s.node_id, s.variants[t % len(s.variants)]) for s in table.space.layers)
        for t in range(max(len(s.variants) for s in table.space.layers))
    ]
    return 436 * 60 * float(np.median(by_plan)) / 1000


def lost(table: Table, plan: Plan) -> float:
    """How much slower than the table's best, as a share."""
    ratio = table.plan_ms(plan) / table.plan_ms(table.best_plan)
    assert math.isfinite(ratio)
    return ratio - 1
