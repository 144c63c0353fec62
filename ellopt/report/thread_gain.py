"""What more threads gain in each convolution layer, and each layer's share of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ellopt.report.document import TuningReport
from ellopt.select.decisions import LayerReport, VariantReport


@dataclass(frozen=True)
class ThreadGain:
    """The best scores of a layer's sequential and parallel variants, in milliseconds.

    ``share``: of what the winners of all layers save by being parallel; 0 where the winner is sequential.
    """

    layer: LayerReport
    sequential_ms: float
    parallel_ms: float
    share: float

    @property
    def speed_up(self) -> float:
        return self.sequential_ms / self.parallel_ms if self.parallel_ms > 0 else 1.0


def thread_gains(report: TuningReport) -> tuple[ThreadGain, ...]:
    """The layers of which both kinds were measured often enough to be decided on; none if no parallel variant was."""
    found = []
    for layer in report.layers:
        decided = [v for v in layer.variants if v.state == "measured" and not v.seldom and v.median_ms is not None]
        sequential = _best(v for v in decided if not v.options.parallelize)
        parallel = _best(v for v in decided if v.options.parallelize)
        if sequential is not None and parallel is not None:
            found.append((layer, sequential, parallel))
    saved = [max(0.0, alone - together) if layer.winner.parallelize else 0.0 for layer, alone, together in found]
    total = sum(saved)
    return tuple(
        ThreadGain(layer, alone, together, part / total if total > 0 else 0.0)
        for (layer, alone, together), part in zip(found, saved, strict=True)
    )


def _best(variants: Iterable[VariantReport]) -> float | None:
    return min((v.median_ms for v in variants if v.median_ms is not None), default=None)
