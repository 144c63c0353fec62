"""Every number that samplers and their evidence go by, in one place, each with its reason.

All were set on tables of recorded measurements (``benchmarks/search.py``, which can vary them: ``--set NAME=VALUE``),
so that a search's cost and loss are low on all models and stay so when a share of the samples is spoiled.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.statistics import SIGNIFICANT_PAIRS
from ellopt.toolchains.settling import MOST_PASSES


@dataclass(frozen=True)
class Constants:
    """Deviations are standard deviations of logs of latencies, unless they say otherwise."""

    # Effects: what visits, turns and places do to samples.

    #: of a variant in a turn: what remains when a turn's own effect is taken out
    cell_deviation: float = 0.05
    #: of the samples within a turn, which share its caches and clock
    sample_deviation: float = 0.05
    #: of visits: another process has other pages, and threads on other cores
    visit_deviation: float = 0.15
    #: of one method in a visit: its weights may lie badly there
    method_deviation: float = 0.02
    #: the same in parallel: where its threads are put matters more
    parallel_method_deviation: float = 0.06
    #: of turns: what lasts milliseconds slows all layers of a turn alike, and is most of the noise
    turn_deviation: float = 0.1
    #: of places in the model: what the layers before left in the caches
    layer_deviation: float = 0.05
    #: what slows a turn slows its layers unequally: the deviation is this share of how much slower it is ...
    unequal: float = 0.3
    #: ... than a turn that is faster than all but this share
    quiet: float = 0.25
    #: cells further off than so many deviations pull less (Huber 1964): something disturbed what is very slow
    huber: float = 2.0
    #: the same of methods in a visit: what is slow in some visits only is as fast as in the others
    method_huber: float = 0.5
    #: the quantile of a variant's cells that is taken for undisturbed at first: what disturbs only ever adds time
    fast: float = 0.25
    #: solutions, each weighted by the one before: more change nothing that can be seen
    reweightings: int = 8

    # Estimates

    #: of a variant from visit to visit, on its own: builds are the same, pages are not
    variant_visit_deviation: float = 0.06
    #: a variant answers for its slow samples if so many are as improbable as this by chance
    too_often: float = 0.002
    #: slow rounds of how many are assumed before any is seen: one disturbance in twenty rounds is usual
    assumed_slow: float = 1.0
    assumed_rounds: float = 20.0

    # Cost model: prior deviations of the effects on the log latency per multiply-add.

    #: of all shapes and ways together: nothing is known of a machine before
    any_deviation: float = 3.0
    #: of each doubling of a dimension of a shape
    trend_deviation: float = 0.04
    #: of ways (method, tile, blocking) everywhere, and on unlike shapes
    way_deviation: float = 0.6
    way_shape_deviation: float = 0.3
    #: of running in parallel: everywhere, on unlike shapes, for unlike ways there
    parallel_deviation: float = 0.32
    parallel_shape_deviation: float = 0.07
    parallel_way_deviation: float = 0.065
    #: of block depths of one way
    depth_deviation: float = 0.24
    #: of what is each variant's own on each shape: how its blocks happen to fall into caches and onto cores
    own_deviation: float = 0.02
    #: log2 distances at which shapes, and depths, stop being alike: two or three doublings
    near: float = 2.5
    depth_length: float = 2.0
    #: what ways of one method have in common: they share their loops, but not their weights
    same_method: float = 0.5
    #: what a depth that is left to the generator has in common with any other: the generator picks one of them
    automatic: float = 0.94
    #: shapes may differ in what suits them by so many times more than the above ...
    scales: tuple[float, ...] = (1.0, 2.0, 4.0)
    #: ... if that predicts so much better, in the log of the observations' probability for each doubling: with less,
    #: some disturbed observations would decide
    scale_evidence: float = 10.0
    #: how often, and by how much, a variant is altogether unlike what the others let one expect
    surprise: float = 0.05
    surprise_deviation: float = 1.0
    #: by how much something else on a machine slows a pass: the mean and the deviation
    spoiled_mean: float = 0.8
    spoiled_deviation: float = 0.5

    # Odds

    #: possible worlds drawn from the posterior: chances are then known to some 2 %
    draws: int = 512

    # Race (auto)

    #: timed passes of a turn in the sketch: the second shows whether the first was as good
    sketch_passes: int = 2
    #: what takes so many times the fastest plan's first pass has no second one
    sketch_slow_factor: float = 3.0
    #: shapes, those with the least work, on which simple convolutions are sketched: they hardly ever win
    shapes_for_simple: int = 2
    #: plans of a visit of the race: short, so that what the machine does to one visit does not decide
    race_plans: int = 10
    #: from this share of spoiled samples on, a turn has so many timed passes
    many_spoiled: float = 0.12
    more_passes: int = 2
    #: of the allowed loss, what may be expected when the race ends
    expected_share: float = 0.5
    #: visits that each shape was measured in before: what holds in one may not hold in the next
    least_visits: int = 5
    #: the race ends, whatever may still be gained, after as long as so many passes of the best plan: a hundredth of
    #: the original sweep is 262 passes of a plan of medium speed
    longest: int = 200
    #: a posterior so many deviations above the best is out of the race
    behind: float = 2.5
    #: rounds of a final visit: half of what makes a significant comparison of pairs, so that it takes two visits
    final_rounds: int = SIGNIFICANT_PAIRS // 2
    #: two final visits are enough for a verdict if nothing disturbs them; two more at most
    final_visits: int = 2
    most_final_visits: int = 4
    #: variants of a shape in these visits, ELL's default not counted
    finalists: int = 3
    #: how probably a rival is the fastest to be there
    final_chance: float = 0.05
    #: where the default reads other weights than the leader, and many, going to and fro would take more untimed passes
    #: than timed ones: it is measured by itself, after so many passes, in so many rounds of each visit
    alone_warm_up: int = MOST_PASSES
    alone_rounds: int = 2

    # Rematch (grid, tpe, random)

    #: visits, and rounds of each: enough for a verdict, and more than one state of the machine
    rematch_visits: int = 3
    rematch_rounds: int = 5
    #: variants of a shape in a visit, and how probably a rival is the fastest to be there
    rematch_rivals: int = 4
    rematch_chance: float = 0.02
    #: the same visits of a search with a limit of trials, which they count for
    bounded_rematch_visits: int = 2

    # Visits of grid, tpe and random

    #: plans of a visit: enough to compare, few enough to lose little when a visit fails
    grid_plans: int = 16
    layerwise_plans: int = 6
    #: rounds: with warm caches ten tell as much as the original's 10 and 20 passes in one go
    grid_rounds: int = 10
    layerwise_rounds: int = 5

    def with_(self, assignments: list[str]) -> Constants:
        """These with some changed, each as "name=value". Raises ConfigurationError naming what is wrong."""
        kinds = {f.name: type(getattr(self, f.name)) for f in fields(self)}
        changed: dict[str, Any] = {}
        for text in assignments:
            name, equals, value = text.partition("=")
            if not equals or name not in kinds:
                raise ConfigurationError(f"{text!r}: write NAME=VALUE with one of {', '.join(kinds)}")
            try:
                kind = kinds[name]
                changed[name] = tuple(map(float, value.split(","))) if kind is tuple else kind(value)
            except ValueError as error:
                raise ConfigurationError(f"{text!r}: {name} is {kinds[name].__name__}: {error}") from error
        return replace(self, **changed)


DEFAULTS = Constants()
