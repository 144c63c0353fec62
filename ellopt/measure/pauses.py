"""How long to wait between two visits: as long as the noise that was seen demands.

What slows a machine for some seconds must not be in all visits of a search, so visits are apart in time. Where nothing
slows it, that is time lost. What tells is whether visits agree: the turns of a visit scatter about its mean, and the
means of two visits differ by as much as that explains, unless something held for the length of one of them (an analysis
of variance between and within groups: Fisher 1925). A wait helps only against what lasts: where visits that follow each
other differ as much as those further apart, each has met a moment of its own already (von Neumann's ratio of
successive differences to the variance, 1941). All pauses on a device together have a bound: what lasts longer than
that is in all visits of a short search whatever it waits for, and in few of a long one's. Nothing here knows the time
or the machine: the same visits give the same pauses.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from ellopt.core.samples import PlanSamples
from ellopt.core.statistics import MAD_TO_DEVIATION, median

#: Seconds between the starts of two visits at most, and before anything is known of a device. On a machine that others
#: kept at work, visits that began 1.2 s apart agreed no better than those 12 s apart, those 0.6 s apart did: what
#: visits have in common has mostly gone by then, and a longer wait buys nothing.
LONGEST, UNKNOWN = 1.2, 0.6
#: Seconds that all pauses on a device may take together: with as much between the first visit and the last, not all of
#: them fall into one moment. Each pause takes this share of what is left at most, so that confirmation finds some.
IN_ALL, SHARE_OF_REST = LONGEST, 0.25
#: Pairs of visits that agree before visits follow each other at once; each of them halves the wait until then.
PROOF = 3
#: The visits that count: what was long ago says little of now.
REMEMBERED = 5
#: Visits that differ by this, on a log scale, beyond what their turns explain, are as far apart as may be, if all of it
#: lasts ...
FULL_SHIFT = 0.10
#: ... and so are those beside which others kept this share of the processors busy; less than the first is the
#: system's own work.
IDLE_SHARE, FULL_SHARE = 0.08, 0.40
#: Differences of fewer standard errors are explained: the largest of some eighty counts, groups of pairs of visits.
EXPLAINED = 3.0
#: How much a variant differs from process to process, pages lying elsewhere, and a turn from the next at least: log
#: scale, standard deviations.
OWN_DEVIATION, TURN_DEVIATION = 0.06, 0.03

#: what is slowed as one (a method, sequential or parallel), and what is measured
Cell = tuple[Hashable, Hashable]


@dataclass(frozen=True)
class Seen:
    """What one visit showed. ``turns``: of each turn of a plan the log of each cell's milliseconds. ``busy``: of the
    ``ticks`` that the processors' time was counted in meanwhile, those of others; no ticks where nobody counted."""

    turns: tuple[Mapping[Cell, float], ...]
    busy: float = 0.0
    ticks: float = 0.0


def seen(samples: Sequence[PlanSamples], share: float | None = None, ticks: float = 0.0) -> Seen:
    """What the samples of a visit say: layer by layer, or whole plans where layers were not timed.

    ``share``: of the processors, what others kept busy meanwhile, told from ``ticks`` of their time; None where nobody
    knows.
    """
    turns: list[Mapping[Cell, float]] = []
    for one in samples:
        rounds = one.rounds or tuple(range(len(one.total_ms)))
        columns: dict[Cell, Sequence[float]] = {
            ((options.method, options.parallelize), (node, options)): one.layers_ms[node]
            for node, options in one.plan.items()
            if node in one.layers_ms
        }
        columns = columns or {("", one.plan): one.total_ms}
        for turn in dict.fromkeys(rounds):
            at = [i for i, number in enumerate(rounds) if number == turn]
            turns.append({c: math.log(max(1e-9, median([ms[i] for i in at]))) for c, ms in columns.items()})
    return Seen(tuple(turns)) if share is None else Seen(tuple(turns), share * ticks, ticks)


def disagreement(a: Seen, b: Seen) -> float | None:
    """By how much the visits differ beyond what their turns explain, on a log scale, for the group that differs the
    most; None if they have nothing in common that was measured twice."""
    levels_a, levels_b = _levels(a), _levels(b)
    common = levels_a.keys() & levels_b.keys()
    groups: dict[Hashable, set[Cell]] = {}
    for cell in common:
        groups.setdefault(cell[0], set()).add(cell)
    found = [beyond for cells in groups.values() if (beyond := _beyond(a, b, cells, levels_a, levels_b)) is not None]
    return max(found, default=None)


def wait_between(visits: Sequence[Seen]) -> float:
    """Seconds from the start of the last of ``visits``, on one device and in order, to that of the next one.

    They never exceed ``LONGEST``, and grow with what visits differ by that lasts, and with what others kept busy.
    """
    recent = visits[-REMEMBERED:]
    pairs = {(i, j): disagreement(recent[i], recent[j]) for i, j in combinations(range(len(recent)), 2)}
    known = {pair: shift for pair, shift in pairs.items() if shift is not None}
    return max(_of_shifts(known), _of_share(_sure_share(recent)), _unproven(len(known)))


def granted(wanted: float, waited: float) -> float:
    """Seconds to wait of those ``wanted``, where pauses have taken ``waited`` seconds before.

    All pauses together are shorter than ``IN_ALL``, and later ones are not left without any.
    """
    return min(wanted, SHARE_OF_REST * max(0.0, IN_ALL - waited))


def _unproven(pairs: int) -> float:
    return UNKNOWN / 2**pairs if pairs < PROOF else 0.0


def _of_shifts(shifts: Mapping[tuple[int, int], float]) -> float:
    """``shifts``: by how much two visits differ, by their places. What those that follow each other do not have in
    common as it is need not be waited for."""
    next_to = [shift for (i, j), shift in shifts.items() if j == i + 1]
    further = [shift for (i, j), shift in shifts.items() if j > i + 1]
    if not next_to or not any(further):
        return 0.0
    lasting = max(0.0, 1.0 - fmean(next_to) / fmean(further))
    return LONGEST * lasting * min(1.0, max(further) / FULL_SHIFT)


def _sure_share(visits: Sequence[Seen]) -> float:
    """The share of the processors that others kept busy for sure.

    A visit of a hundredth of a second is some ticks, and who is there when the clock ticks has the tick: of n ticks a
    share is known to 1 / sqrt(n), two standard deviations of a count at even odds. All visits are counted as one.
    """
    busy, ticks = sum(one.busy for one in visits), sum(one.ticks for one in visits)
    return max(0.0, busy / ticks - 1 / math.sqrt(ticks)) if ticks > 0 else 0.0


def _of_share(share: float) -> float:
    return LONGEST * min(1.0, max(0.0, share - IDLE_SHARE) / (FULL_SHARE - IDLE_SHARE))


def _levels(visit: Seen) -> dict[Cell, float]:
    """The median of each cell over the turns."""
    found: dict[Cell, list[float]] = {}
    for turn in visit.turns:
        for cell, value in turn.items():
            found.setdefault(cell, []).append(value)
    return {cell: median(values) for cell, values in found.items()}


def _beyond(
    a: Seen, b: Seen, cells: set[Cell], levels_a: Mapping[Cell, float], levels_b: Mapping[Cell, float]
) -> float | None:
    """By how much ``cells`` differ from visit to visit, less the standard errors that chance may explain."""
    middle = {cell: (levels_a[cell] + levels_b[cell]) / 2 for cell in cells}
    means, errors = [], []
    for visit in (a, b):
        values = [
            fmean(turn[cell] - middle[cell] for cell in turn.keys() & cells)
            for turn in visit.turns
            if turn.keys() & cells
        ]
        if len(values) < 2:
            return None  # one turn says nothing of its own error
        means.append(median(values))
        errors.append(max(TURN_DEVIATION, _deviation(values)) ** 2 * math.pi / 2 / len(values))
    error = math.sqrt(sum(errors) + 2 * OWN_DEVIATION**2 / len(cells))
    return max(0.0, abs(means[1] - means[0]) - EXPLAINED * error)


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation, as the median distance from the median says it: one slow turn does not count."""
    return MAD_TO_DEVIATION * median([abs(value - median(values)) for value in values])
