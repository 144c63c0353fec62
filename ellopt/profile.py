"""ELL's profile report: the text that its profiling programs print, so that existing readers go on working."""

from __future__ import annotations

import math

from ellopt.measurement import PlanSamples
from ellopt.model.graph import Model


def report_text(model: Model, samples: PlanSamples, warm_up: int = 0) -> str:
    """The samples of a plan as ELL's text report. Times are totals over all passes, in milliseconds.

    Ids are those of the input model. A node that is computed along with a convolution has no line of its own.
    """
    count = len(samples.total_ms)
    types = {node.node_id: node.type_name for node in model.nodes}
    totals = {n: math.fsum(v) for n, v in {**samples.nodes_ms, **samples.layers_ms}.items()}
    width = max((len(types[node_id]) for node_id in totals), default=0)
    lines = [f"Profiling model with {warm_up} warm-up iterations and {count} timed iterations", "Node statistics"]
    for node_id in sorted(totals, key=list(types).index):
        lines.append(f"Node[{node_id}]:\t{types[node_id]:<{width}}\ttime: {totals[node_id]:.5f} ms\tcount: {count}")
    by_type: dict[str, tuple[float, int]] = {}
    for node_id, total in totals.items():
        time, runs = by_type.get(types[node_id], (0.0, 0))
        by_type[types[node_id]] = (time + total, runs + count)
    lines += ["", "", "Node type statistics"]
    for name, (time, runs) in sorted(by_type.items(), key=lambda item: item[1][0]):
        lines.append(f"{name:<{width}}\ttime: {time:.5f} ms \tcount: {runs}")
    total = math.fsum(samples.total_ms)
    per_run = total / count if count else 0.0
    lines += ["", "Model statistics"]
    lines.append(f"Total time: {total:.5f} ms \tcount: {count}\t time per run: {per_run:.5f} ms")
    return "\n".join(lines) + "\n"
