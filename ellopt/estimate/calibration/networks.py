"""The two small networks of a calibration: one of large images, one of many channels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ellopt.core.plan import Plan
from ellopt.model.graph import Model, NoFile
from ellopt.model.layers import Activation, Bias, Convolution, Input, MemoryLayout, Node, Output, Reorder

#: name -> (size of the input, filters of each convolution of 3x3)
NETWORKS = {"large image": ((32, 32, 8), (16, 24)), "many channels": ((8, 8, 96), (96, 64))}
_SEED = 7


def calibration_networks() -> dict[str, Model]:
    """The networks by name. Their weights are the same each time."""
    return {name: _network(name, size, filters) for name, (size, filters) in NETWORKS.items()}


def _network(name: str, size: tuple[int, int, int], filters: Iterable[int]) -> Model:
    rng = np.random.default_rng(_SEED)
    nodes: list[Node] = []

    def add(kind: type[Node], layout: MemoryLayout, **facts: object) -> None:
        before = nodes[-1:]
        read = tuple(node.output_layout for node in before)
        sources = tuple(node.node_id for node in before)
        nodes.append(kind(str(1 + len(nodes)), f"{kind.__name__}Node", sources, read, layout, **facts))  # type: ignore[arg-type]

    rows, columns, channels = size
    add(Input, _layout(size))
    for count in filters:
        add(Reorder, _layout((rows, columns, channels), 1))
        weights = rng.normal(size=(count, 3, 3, channels)).astype(np.float32) / np.float32(3 * channels**0.5)
        written = _layout((rows, columns, count))
        add(Convolution, written, receptive_field=3, stride=1, depthwise=False, weights=weights)
        add(Bias, written, bias=rng.normal(size=count).astype(np.float32))
        add(Activation, written, function="relu")
        channels = count
    add(Output, nodes[-1].output_layout)
    path = Path(f"{name.replace(' ', '-')}.ell")
    return Model(path, name, tuple(nodes), Plan.of({}), NoFile())


def _layout(size: tuple[int, int, int], padding: int = 0) -> MemoryLayout:
    rows, columns, channels = size
    return MemoryLayout(size, (rows + 2 * padding, columns + 2 * padding, channels), (padding, padding, 0))
