"""A model: the nodes of an ELL map in order of computation. Never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ellopt.model.layers import Convolution, Node
from ellopt.options import Plan


@dataclass(frozen=True, eq=False)
class Model:
    """An ELL map. ``nodes`` is in an order in which each node follows those it reads.

    ``path`` names the file in messages. ``options`` are the compile options found in the nodes' metadata.
    """

    path: Path
    name: str
    nodes: tuple[Node, ...]
    options: Plan

    @property
    def by_id(self) -> Mapping[str, Node]:
        return {node.node_id: node for node in self.nodes}

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Convolution))
