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
from ellopt.search.strategy import Proposal
from ellopt.space.space import ModelSpace

STAGE = "playoff"
#: Visits, and rounds of each: enough for a verdict, and more than one state of the machine.
VISITS = 3
SCHEDULE = Schedule(warm_up=1, rounds=5)
#: Variants of a shape in a visit, and how probably a rival is the fastest to be there.
RIVALS, LEAST_CHANCE = 4, 0.02


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
        found = odds(posterior, leader.options, np.random.default_rng([seed, number]))
        fastest = min(measured, key=lambda o: evidence.estimates(shape)[o].ms)  # by its own samples alone
        ranked[shape] = list(dict.fromkeys([leader.options, fastest, *found.rivals(LEAST_CHANCE)]))[:count]
    most = max(map(len, ranked.values()))
    if most < 2:
        return ()
    plans = (
        Plan(tuple((layer.node_id, ranked[layer.shape][t % len(ranked[layer.shape])]) for layer in space.layers))
        for t in range(most)
    )
    return tuple(dict.fromkeys(plans))


class Rematch:
    """The visits in which rivals meet again, up to ``visits`` of up to ``rivals`` plans."""

    def __init__(self, space: ModelSpace, seed: int, visits: int = VISITS, rivals: int = RIVALS) -> None:
        self._space, self._seed, self._visits, self._rivals = space, seed, visits, rivals
        self.made = 0

    def resume(self, finished: Sequence[Trial], stages: Sequence[str]) -> None:
        """What an interrupted run had finished."""
        uids = {o.visit.uid for o, stage in zip(finished, stages, strict=True) if o.visit and stage == STAGE}
        self.made = min(self._visits, len(uids))

    def propose(self, evidence: Evidence, room: int | None = None) -> Proposal | None:
        """The next visit, of at most ``room`` plans; None when all were made, or nobody has a rival."""
        if self.made >= self._visits:
            return None
        plans = rivals(self._space, evidence, self._rivals, self._seed)
        if room is not None:
            plans = plans[:room]
        if len(plans) < 2:
            self.made = self._visits
            return None
        self.made += 1
        return Proposal(plans, SCHEDULE, STAGE)
