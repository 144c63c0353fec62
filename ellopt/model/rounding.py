"""How far float32 may be off in one step, in whatever order it sums: the yardstick of every check.

A sum of n products computed in float32 is off by at most gamma_n sum |w| |x| with gamma_n = n u / (1 - n u) and
u = 2^-24 (N. J. Higham: Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). For many terms that is far
too generous, as roundings have both signs: with a probability next to one, n may be replaced by a small multiple of its
root (N. J. Higham, T. Mary: A New Approach to Probabilistic Rounding Error Analysis, 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ellopt.model.layers import FloatArray, Node, Tensor

#: Half the distance from 1 to the next float32.
UNIT_ROUNDOFF = 2.0**-24
#: A sum of n terms is off by this times the root of n units at most, where that is less than n.
DEVIATIONS = 8.0
#: Below float32's smallest normal number some processors compute with zeros.
SMALLEST = 1e-36
#: Sums of larger magnitude may overflow in one order and not in another.
LARGEST = 1e38


def rounding_limits(nodes: Sequence[Node], buffers: Mapping[str, FloatArray]) -> Tensor:
    """The largest allowed error of each element of the output of ``nodes``, which one step computes: the first, and
    others behind it, element by element.

    ``buffers`` has the flat buffer of each node (see ``reference.buffers``). Infinite where float32 might overflow.
    """
    first, *followers = nodes
    with np.errstate(all="ignore"):
        inputs = [np.abs(buffers[source]) for source in first.inputs]
        found = first.first_terms(inputs)
        if found is None:  # it works element by element itself
            magnitude, more = first.behind(first.inside(inputs), None)
            terms = 2 + more
        else:
            magnitude, terms = found
        for before, node in zip(nodes, followers, strict=False):
            magnitude, more = node.behind(magnitude, _other_operand(node, before, buffers))
            terms += more
        units = min(terms, DEVIATIONS * terms**0.5)
        own = sum(node.own_error(_result(node, buffers)) for node in nodes)
        limits: Tensor = UNIT_ROUNDOFF * (units * magnitude + own) + SMALLEST
    limits = np.broadcast_to(limits, nodes[-1].output_layout.size)
    return np.where(np.isfinite(limits) & (magnitude < LARGEST), limits, np.inf)


def _result(node: Node, buffers: Mapping[str, FloatArray]) -> Tensor:
    return node.output_layout.view(buffers[node.node_id]).astype(np.float64)


def _other_operand(node: Node, before: Node, buffers: Mapping[str, FloatArray]) -> Tensor | None:
    """What a node with two inputs reads besides the node before it."""
    if len(node.inputs) < 2:
        return None
    index = 1 - node.inputs.index(before.node_id)
    return node.inside([buffers[source] for source in node.inputs], index)
