"""A model: the nodes of an ELL map in order of computation. Never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.core.plan import Plan
from ellopt.model.layers import Convolution, Input, Node, Output

if TYPE_CHECKING:
    from ellopt.frontends.ell.archive import Archive


@dataclass(frozen=True, eq=False)
class Model:
    """An ELL map with one input and one output.

    ``nodes`` is in an order in which each node follows those it reads; nodes that the output does not depend on are
    left out (``archive`` has them). ``path`` names the file in messages.
    ``options`` are the compile options found in the nodes' metadata. ``archive`` is what the model was read from;
    a predictor node is already written out as layer nodes in it. Weights of ``<double>`` models are rounded to
    float32, and the model is computed in float32.
    """

    path: Path
    name: str
    nodes: tuple[Node, ...]
    options: Plan
    archive: Archive

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        return {node.node_id: node for node in self.nodes}

    @cached_property
    def convolutions(self) -> tuple[Convolution, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Convolution))

    @cached_property
    def input(self) -> Input:
        return next(node for node in self.nodes if isinstance(node, Input))

    @cached_property
    def output(self) -> Output:
        return next(node for node in self.nodes if isinstance(node, Output))
