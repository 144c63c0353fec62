"""What a deployed model takes: whole passes of a fresh process, and what each of its layers takes of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ellopt.core.numbers import unit_of
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.model.graph import Model

#: passes of a process that are told by themselves: threads and caches are not yet where they will be
FIRST_PASSES = 10


@dataclass(frozen=True)
class BenchResult:
    """Whole passes of one model in a fresh process; times are milliseconds.

    ``first_ms``: the passes before those of ``samples_ms``, from the very first of the process on. ``interval_ms``:
    from the start of a pass to that of the next, 0 for one after the other. ``board``: where it ran.
    """

    model: str
    samples_ms: tuple[float, ...]
    threads: int
    peak_rss_mb: float
    code_bytes: int
    plan: Plan
    first_ms: tuple[float, ...] = ()
    interval_ms: float = 0.0
    board: str = ""

    @property
    def median_ms(self) -> float:
        return statistics.median(self.samples_ms)

    @property
    def mean_ms(self) -> float:
        return statistics.fmean(self.samples_ms)

    @property
    def min_ms(self) -> float:
        return min(self.samples_ms)

    def quantile_ms(self, share: float) -> float:
        """The time that this share of the passes does not exceed: 0.9 for p90."""
        return float(np.quantile(self.samples_ms, share))

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "board": self.board,
            "median_ms": self.median_ms,
            "mean_ms": self.mean_ms,
            "p90_ms": self.quantile_ms(0.9),
            "p99_ms": self.quantile_ms(0.99),
            "min_ms": self.min_ms,
            "samples_ms": list(self.samples_ms),
            "first_ms": list(self.first_ms),
            "interval_ms": self.interval_ms,
            "threads": self.threads,
            "peak_rss_mb": self.peak_rss_mb,
            "code_bytes": self.code_bytes,
            "options": {node_id: str(options) for node_id, options in self.plan.items()},
        }

    def summary(self) -> str:
        """Lines for a person."""
        unit = unit_of([*self.samples_ms, *self.first_ms])
        text = unit.text
        apart = f", {self.interval_ms:g} ms apart" if self.interval_ms else ""
        lines = [
            f"{self.model}: median {text(self.median_ms)} {unit.name}, mean {text(self.mean_ms)}, "
            f"p90 {text(self.quantile_ms(0.9))}, p99 {text(self.quantile_ms(0.99))}, "
            f"min {text(self.min_ms)} of {len(self.samples_ms)}{apart} on {self.threads} thread"
            f"{'s' if self.threads > 1 else ''}; "
            f"peak memory {self.peak_rss_mb:.1f} MB, code {self.code_bytes / 1024:.0f} KiB"
        ]
        if self.first_ms:
            lines.append(f"the first passes of the process: {', '.join(map(text, self.first_ms))} {unit.name}")
        return "\n".join(lines)


@dataclass(frozen=True)
class LayerTime:
    """What one node takes, milliseconds a pass. ``options``: how a convolution layer is computed, empty for others.
    ``share``: of all nodes together."""

    node_id: str
    name: str
    type_name: str
    options: str
    median_ms: float
    p90_ms: float
    share: float


def layer_times(model: Model, plan: Plan, samples: PlanSamples, fused: Mapping[str, str]) -> tuple[LayerTime, ...]:
    """A row for each node that takes time of its own, in order of computation; what is fused into another node has
    none."""
    times = {**samples.nodes_ms, **samples.layers_ms}
    medians = {node_id: statistics.median(values) for node_id, values in times.items() if values}
    total = sum(medians.values()) or 1.0
    options = {node_id: str(chosen) for node_id, chosen in plan.items()}
    return tuple(
        LayerTime(
            node.node_id, node.name, node.type_name, options.get(node.node_id, ""), medians[node.node_id],
            float(np.quantile(times[node.node_id], 0.9)), medians[node.node_id] / total,
        )
        for node in model.nodes
        if node.node_id in medians and node.node_id not in fused
    )  # fmt: skip
