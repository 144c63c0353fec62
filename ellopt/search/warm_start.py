"""What a search takes from the store of measurements, and what it leaves there."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.trial import Trial
from ellopt.measure.store import MeasurementStore, StoreContext, StoredSamples
from ellopt.search.evidence.estimates import Evidence, Sample

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """``use``: take from the store; it is given to in any case."""

    store: MeasurementStore
    context: StoreContext
    use: bool = True

    def recall(self, evidence: Evidence, own_visits: Iterable[str]) -> int:
        """Teach ``evidence`` what earlier runs measured of its shapes; ``own_visits`` it knows already. Returns the
        number of variants found."""
        if not self.use:
            return 0
        known, found = set(own_visits), set()
        for stored in self.store.lookup(self.context, evidence.shapes):
            if stored.visit not in known and stored.options in evidence.variants(stored.shape):
                samples = (Sample(stored.visit, r, f"{stored.visit} {layer}", ms) for r, layer, ms in stored.samples)
                evidence.add_stored(stored.shape, stored.options, samples)
                found.add((stored.shape, stored.options))
        if found:
            log.info("%d variants were measured by earlier runs", len(found))
        return len(found)

    def remember(self, evidence: Evidence, trials: Iterable[Trial]) -> None:
        """Keep the samples of ``trials``, apart from those of disturbed visits."""
        measurements: dict[tuple[ConvolutionShape, ConvolutionOptions, str], list[tuple[int, str, float]]] = {}
        devices: dict[str, str] = {}
        for trial in trials:
            samples, visit = trial.samples, trial.visit
            if samples is None or visit is None or visit.disturbed:
                continue
            devices[visit.uid] = visit.device
            rounds = samples.rounds or range(len(samples.total_ms))
            for node_id, values in samples.layers_ms.items():
                key = (evidence.shape_of(node_id), trial.plan[node_id], visit.uid)
                measurements.setdefault(key, []).extend(
                    (r, node_id, ms) for r, ms in zip(rounds, values, strict=True) if ms > 0
                )
        self.store.add(
            self.context,
            [
                StoredSamples(shape, options, visit, tuple(v), devices[visit])
                for (shape, options, visit), v in measurements.items()
                if v
            ],
        )
