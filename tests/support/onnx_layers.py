"""ONNX graphs layer by layer, as exporters write them, with weights drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from tests.support.onnx_models import make_model


class Layers:
    """Nodes and constants so far. Every method returns the name of what it adds."""

    def __init__(self, opset: int = 17) -> None:
        self.opset = opset
        self.random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}

    def add(self, kind: str, *inputs: str, **fields: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [f"v{len(self.nodes)}"], **fields))
        return str(self.nodes[-1].output[0])

    def constant(self, values: npt.ArrayLike) -> str:
        """Floats become float32."""
        array = np.asarray(values)
        name = f"c{len(self.constants)}"
        self.constants[name] = array.astype(np.float32) if array.dtype.kind == "f" else array
        return name

    def weights(self, *shape: int) -> str:
        """A constant scaled so that sums over all but the first axis are of order one."""
        return self.constant(self.random.normal(size=shape) / max(1, prod(shape[1:])) ** 0.5)

    def convolution(self, source: str, channels: int, filters: int, size: int = 3, **fields: Any) -> str:
        """With a bias; as large as its input."""
        weights = self.weights(filters, channels // fields.get("group", 1), size, size)
        if "auto_pad" not in fields:
            fields["pads"] = [size // 2] * 4
        return self.add("Conv", source, weights, self.constant(self.random.normal(size=filters)), **fields)

    def silu(self, source: str) -> str:
        return self.add("Mul", source, self.add("Sigmoid", source))

    def reshape(self, source: str, *shape: int) -> str:
        return self.add("Reshape", source, self.constant(np.array(shape)))

    def transpose(self, source: str, *axes: int) -> str:
        return self.add("Transpose", source, perm=list(axes))

    def slice(self, source: str, first: int, behind: int, axis: int) -> str:
        return self.add("Slice", source, *(self.constant(np.array([n])) for n in (first, behind, axis)))

    def model(self, inputs: dict[str, Sequence[int | str]], outputs: Sequence[str]) -> Any:
        return make_model(self.nodes, inputs, outputs, self.constants, self.opset)
