"""Whether two models compute the same, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ellopt.model.graph import Model

#: Of a node: what says nothing of what it computes. Compile options stand in it.
_REMARKS = frozenset({"metadata"})


def same_computation(a: Model, b: Model) -> bool:
    """Whether the models have the same nodes with the same weights, bit by bit, in the same order, and the same inputs
    and outputs. A program generated for one, with some options, is that for the other with these."""
    return _same((a.input_ports, a.output_ports, a.nodes), (b.input_ports, b.output_ports, b.nodes))


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if is_dataclass(a):
        names = [part.name for part in fields(a) if part.name not in _REMARKS]
        return all(_same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, float):
        return bool(a.hex() == b.hex())  # NaN is NaN, and 0 is not -0
    return bool(a == b)
