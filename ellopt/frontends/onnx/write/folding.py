"""Sums and products of each channel that the convolution or matrix before them takes into its own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ellopt.model.graph import Model
from ellopt.model.layers import Convolution, FloatArray, FullyConnected, MemoryLayout, Node, PerChannel


@dataclass(frozen=True, eq=False)
class Behind:
    """The ``nodes`` behind a layer that become part of it: together x * ``scale`` + ``shift`` for each channel."""

    nodes: tuple[Node, ...]
    scale: FloatArray
    shift: FloatArray

    def scaled(self, weights: FloatArray) -> FloatArray:
        """``weights``, first dimension filters (each of them once a pixel), with each filter times its scale."""
        if np.all(self.scale == 1):
            return weights
        scale = np.tile(self.scale, len(weights) // len(self.scale))
        return (weights * scale.reshape(-1, *(1,) * (weights.ndim - 1))).astype(np.float32)


def foldable(model: Model) -> Mapping[str, Behind]:
    """By the id of each convolution and fully connected layer what follows it element by element, each channel by
    numbers of its own, as long as nobody else reads what lies between."""
    readers: dict[str, list[Node]] = {}
    for node in model.nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node)
    found = {}
    for node in model.nodes:
        if isinstance(node, Convolution | FullyConnected) and (chain := _chain(node, readers)):
            channels = node.output_layout.size[2]
            scale, shift = np.ones(channels), np.zeros(channels)
            for one in chain:
                scale, shift = one.combined(scale, shift)
            found[node.node_id] = Behind(tuple(chain), scale.astype(np.float32), shift.astype(np.float32))
    return found


def _chain(node: Node, readers: Mapping[str, Sequence[Node]]) -> list[PerChannel]:
    chain: list[PerChannel] = []
    last = node
    while len(behind := readers.get(last.node_id, ())) == 1:
        [reader] = behind
        if not (isinstance(reader, PerChannel) and same_place(last.output_layout, reader.input_layouts[0])):
            break
        chain.append(reader)
        last = reader
    return chain


def same_place(written: MemoryLayout, read: MemoryLayout) -> bool:
    """Whether every element is where it was written."""
    return (written.size, written.extent, written.offset) == (read.size, read.extent, read.offset) and (
        written.order == read.order or written.elements == max(written.extent)
    )
