"""Which variant of a shape is the best, in probabilities, and what choosing another would cost.

All that was measured and all that the cost model knows are one posterior of every variant's latency. Draws from it are
possible worlds: how often a variant is the fastest in them is its chance, and how much slower than the fastest the
chosen one is, on average, is what choosing it is expected to cost (knowledge gradient and Thompson sampling both
start from here; see Russo, Van Roy, Kazerouni, Osband, Wen 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ellopt.core.options import ConvolutionOptions
from ellopt.search.evidence.constants import Constants
from ellopt.search.evidence.cost_model import Posterior


@dataclass(frozen=True)
class Odds:
    """Of each of ``variants``: the probability that it is the fastest, and the mean of its log latency in ms.

    ``leader``: the one that is expected to be the fastest. ``regret_ms``: how much more than the fastest, whichever
    that is, it is expected to take.
    """

    variants: tuple[ConvolutionOptions, ...]
    chance: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    leader: ConvolutionOptions
    regret_ms: float

    def seats(self, count: int) -> list[ConvolutionOptions]:
        """``count`` places in measurements, the leader's among them, shared out by chance.

        The leader gets at most half of them: to know whether it is the best, its rivals must be known as well (top-two
        Thompson sampling: Russo 2016).
        """
        place = self.variants.index(self.leader)
        weight = self.chance.copy()
        rivals = weight.sum() - weight[place]
        if rivals <= 0:
            return [self.leader] * count
        weight[place] = min(weight[place], rivals)
        order = np.argsort(-weight, kind="stable")
        ends = np.cumsum(weight[order]) / weight.sum()
        marks = (np.arange(count) + 0.5) / count
        seats = [self.variants[order[i]] for i in np.searchsorted(ends, marks)]
        return seats if self.leader in seats else [*seats[:-1], self.leader]

    def rivals(self, least: float) -> list[ConvolutionOptions]:
        """Who but the leader may be the fastest with a probability of at least ``least``, likeliest first."""
        order = np.argsort(-self.chance, kind="stable")
        return [self.variants[i] for i in order if self.chance[i] >= least and self.variants[i] != self.leader]


def odds(
    posterior: Posterior,
    leader: ConvolutionOptions,
    generator: np.random.Generator,
    draws: int = Constants.draws,
) -> Odds:
    """The odds of all variants of ``posterior``, of which ``leader`` would be chosen now, from so many ``draws``."""
    worlds = np.exp(posterior.draw(generator, draws))
    size = len(posterior.variants)
    chance = np.bincount(worlds.argmin(axis=1), minlength=size) / draws
    place = posterior.variants.index(leader)
    regret = float(np.mean(worlds[:, place] - worlds.min(axis=1)))
    return Odds(posterior.variants, chance, posterior.mean, leader, regret)
