"""A model: the nodes of a network in order of computation. Never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Protocol

from ellopt.core.plan import Plan
from ellopt.model.layers import Convolution, Input, Node, Output


@dataclass(frozen=True)
class Port:
    """One input or output of a network as its file has it. ``offset`` is where it begins in the array of all inputs,
    or all outputs, one after another; elements are in the order of ``shape``, the last axis innermost."""

    name: str
    shape: tuple[int, ...]
    offset: int = 0

    @property
    def elements(self) -> int:
        return prod(self.shape)


class Source(Protocol):
    """What a frontend has read a model from, and can write again. ``sha256`` is that of the file as it was stored."""

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class NoFile:
    """The source of a model that was made, not read."""

    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Model:
    """A network with one input node and one output node; several inputs or outputs of a file lie one after another in
    the one array of that node, where ``inputs`` and ``outputs`` say.

    ``nodes`` is in an order in which each node follows those it reads; nodes that the output does not depend on are
    left out (``source`` has them). ``path`` names the file in messages.
    ``options`` are the compile options found in the nodes' metadata. ``source`` is what the model was read from, which
    only its frontend looks into. Weights of ``<double>`` models are rounded to float32, and the model is computed in
    float32.
    """

    path: Path
    name: str
    nodes: tuple[Node, ...]
    options: Plan
    source: Source
    #: empty where the file has one of each, of the size that its node has
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    #: what the one input and the one output are called where ``inputs`` and ``outputs`` are empty
    ends: tuple[str, str] = ("input", "output")

    @property
    def input_ports(self) -> tuple[Port, ...]:
        """The inputs; at least one."""
        return self.inputs or (Port(self.ends[0], self.input.output_layout.size),)

    @property
    def output_ports(self) -> tuple[Port, ...]:
        """The outputs; at least one."""
        return self.outputs or (Port(self.ends[1], self.output.output_layout.size),)

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
