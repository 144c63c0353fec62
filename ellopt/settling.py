"""How many untimed passes a plan needs before it takes what it takes in use, when plans take turns.

A program that computes one plan over and over finds weights in the caches where the pass before left them. When plans
take turns, the first passes of a turn load their weights again; and a last-level cache that decides by earlier use
what it keeps needs several passes until it keeps a layer's many MiB. On a machine with 32 MiB of such cache a layer
with 8 MiB of weights took 1.5 times its later latency in the second pass of a turn, 1.25 times in the fifth and no
more than that later latency from the eighth on; one with 4 MiB needed five passes. Timed too early, variants with
more weights look slower than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ellopt.options import ConvolutionOptions, Plan
from ellopt.shapes import ConvolutionShape

#: For each of so many bytes of weights that the plan before did not use, one more untimed pass; no more than so many.
BYTES_PER_PASS = 1 << 20
MOST_PASSES = 6


def weight_bytes(shape: ConvolutionShape, options: ConvolutionOptions) -> int:
    """About how many bytes of weights a layer reads in a pass: winograd stores them transformed."""
    tile = options.winograd_tile_size
    field = (tile + shape.receptive_field - 1) ** 2 if tile else shape.receptive_field**2
    return 4 * field * shape.filters * (1 if shape.depthwise else shape.channels)


def settling_passes(
    plans: Sequence[Plan], shapes: Mapping[str, ConvolutionShape], cache_mib: int, started: bool
) -> tuple[int, ...]:
    """For each of ``plans``, which take turns in this order, the untimed passes that it needs beyond one.

    ``shapes``: node id -> shape. Weights that do not fit into a last-level cache of ``cache_mib`` never stay there, and
    are not waited for. ``started``: all plans ran before; else the first one finds nothing in the caches.
    """
    before = (plans[-1] if started else None, *plans[:-1])
    most = min(MOST_PASSES, cache_mib)
    return tuple(
        min(most, _new_bytes(plan, earlier, shapes) // BYTES_PER_PASS)
        for plan, earlier in zip(plans, before, strict=True)
    )


def _new_bytes(plan: Plan, earlier: Plan | None, shapes: Mapping[str, ConvolutionShape]) -> int:
    known = {} if earlier is None else {node_id: options.way for node_id, options in earlier.items()}
    return sum(weight_bytes(shapes[n], options) for n, options in plan.items() if options.way != known.get(n))
