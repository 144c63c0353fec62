"""Rivals that noise could have swapped meet again before the verdict, whichever sampler found them.

A search that measured each variant in a visit of its own, or only once, has leaders that were lucky. Who may be the
fastest of its layer with a fair probability, by all that was measured and by what the cost model knows, meets the
leader again, round by round, in several visits: what holds in one state of the machine may not hold in the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.trial import Trial
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.evidence.odds import odds
from ellopt.search.samplers.base import Place, Proposal
from ellopt.space.space import ModelSpace

STAGE = "playoff"


def rivals(space: ModelSpace, evidence: Evidence, count: int, seed: int) -> tuple[Plan, ...]:
    """Up to ``count`` plans: the i-th has the i-th of each shape's rivals, the leader first, on all of its layers.

    None if no shape was measured with more than one variant that may be its fastest, or a shape was not measured.
    """
    ranked: dict[ConvolutionShape, list[ConvolutionOptions]] = {}
    for number, shape in enumerate(space.by_shape):
        measured = [o for o in evidence.candidates(shape) if o in evidence.estimates(shape)]
        if not measured:
            return ()
        leader = evidence.best(shape)
        assert leader is not None
        posterior = evidence.cost_model.predict(shape, measured)
        found = odds(posterior, leader.options, np.random.default_rng([seed, number]), evidence.constants.draws)
        fastest = min(measured, key=lambda o: evidence.estimates(shape)[o].ms)  # by its own samples alone
        ranked[shape] = list(
            dict.fromkeys([leader.options, fastest, *found.rivals(evidence.constants.rematch_chance)])
        )[:count]
    plans = Plan.covering({layer.node_id: ranked[layer.shape] for layer in space.layers})
    return tuple(dict.fromkeys(plans)) if len(plans) > 1 else ()


class Rematch:
    """The visits in which rivals meet again, up to ``visits`` of up to ``rivals`` plans."""

    def __init__(self, space: ModelSpace, evidence: Evidence, seed: int, visits: int, rivals: int) -> None:
        self._space, self._evidence, self._seed = space, evidence, seed
        self._visits, self._rivals = visits, rivals
        self._met: set[str] = set()
        self.made = 0

    def resume(self, finished: Sequence[tuple[Trial, Place]]) -> None:
        """What an interrupted run had finished."""
        for _, place in finished:
            self.adopt(place)

    def adopt(self, place: Place) -> None:
        """A trial of such a visit, which counts."""
        if place.stage == STAGE:
            self._met.add(place.visit)
            self.made = max(self.made, min(self._visits, len(self._met)))

    def propose(self, room: int | None = None) -> Proposal | None:
        """The next visit, of at most ``room`` plans; None when all were made, or nobody has a rival."""
        if self.made >= self._visits:
            return None
        plans = rivals(self._space, self._evidence, self._rivals, self._seed)
        if room is not None:
            plans = plans[:room]
        if len(plans) < 2:
            self.made = self._visits
            return None
        self.made += 1
        return Proposal(plans, Schedule(warm_up=1, rounds=self._evidence.constants.rematch_rounds), STAGE)
