"""How many untimed passes a plan needs before it takes what it takes in use, when plans take turns.

A program that computes one plan over and over finds weights in the caches where the pass before left them. When plans
take turns, the first passes of a turn load their weights again; and a last-level cache that decides by earlier use
what it keeps needs several passes until it keeps a layer's many MiB. On a machine with 32 MiB of such cache a layer
with 8 MiB of weights took 1.5 times its later latency in the second pass of a turn, 1.25 times in the fourth, and 1.03
times in the eighth; one with 4 MiB was as fast as later in the fifth. Timed too early, variants with more weights look
slower than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ellopt.core.methods import find_method
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape

#: For each of so many bytes of weights that the plan before did not use, one more untimed pass; no more than so many.
BYTES_PER_PASS = 1 << 20
MOST_PASSES = 6


def settling_passes_alone(weights: int, cache_mib: int) -> int:
    """The untimed passes of a plan with so many bytes of weights that shares neither code nor weights with others."""
    return max(1, min(MOST_PASSES, cache_mib, weights // BYTES_PER_PASS))


def settling_passes(
    plans: Sequence[Plan], shapes: Mapping[str, ConvolutionShape], cache_mib: int, started: bool
) -> tuple[int, ...]:
    """For each of ``plans``, which take turns in this order, the untimed passes that it needs.

    ``shapes``: node id -> shape. Weights that do not fit into a last-level cache of ``cache_mib`` never stay there, and
    are not waited for. ``started``: all plans ran before. Else the first one finds nothing in the caches, and whoever
    first computes a layer in some way has to wait until the system has mapped code and weights.
    """
    most = min(MOST_PASSES, cache_mib)
    ways = [{node_id: options.way for node_id, options in plan.items()} for plan in plans]
    before = ways[-1] if started else {}
    mapped = {pair for plan in ways for pair in plan.items()} if started else set()
    found = []
    for plan, mine in zip(plans, ways, strict=True):
        new = sum(
            find_method(options.method).weight_bytes(shapes[n], options)
            for n, options in plan.items()
            if options.way != before.get(n)
        )
        found.append(max(min(most, new // BYTES_PER_PASS), int(not mapped.issuperset(mine.items()))))
        mapped.update(mine.items())
        before = mine
    return tuple(found)
