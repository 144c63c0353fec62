"""What the lowering of every kind of layer works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ellopt.codegen.borders import Borders, fail
from ellopt.codegen.network import Step
from ellopt.codegen.values import Values
from ellopt.model.graph import Model
from ellopt.model.layers import Node


@dataclass(frozen=True)
class Lowering:
    """A model on its way to a network: where borders are, and the tensors and steps so far."""

    model: Model
    borders: Borders
    values: Values

    def add(self, step: Step) -> None:
        self.values.steps.append(step)

    def fail(self, node: Node, why: str) -> NoReturn:
        """Raises ModelFormatError, naming file and node."""
        fail(self.model, node, why)
