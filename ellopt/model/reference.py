"""What a whole model computes, in NumPy: the yardstick for every generated program.

Sums are accumulated in float64 and stored as float32 after each node. Each node writes a flat buffer with its border
filled, exactly as ELL lays it out; the next node views that buffer with its own layout.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray, Input, MemoryLayout


def predict(model: Model, values: npt.ArrayLike) -> FloatArray:
    """The model's output, flat, for an input in rows x columns x channels (or flat in that order)."""
    return run(model, values)[model.output.node_id].reshape(-1)


def run(model: Model, values: npt.ArrayLike) -> dict[str, FloatArray]:
    """The tensor that every node writes, by node id: rows x columns x channels, float32, without borders.

    ``values`` is the input in rows x columns x channels (or flat in that order). Raises ValueError for another size.
    """
    written = buffers(model, values)
    return {node.node_id: np.ascontiguousarray(node.output_layout.view(written[node.node_id])) for node in model.nodes}


def buffers(model: Model, values: npt.ArrayLike) -> dict[str, FloatArray]:
    """The flat buffer that every node leaves in memory, border included, by node id. Raises as ``run``."""
    written: dict[str, FloatArray] = {}
    with np.errstate(all="ignore"):  # what overflows is infinite, here as in every program
        for node in model.nodes:
            if isinstance(node, Input):
                written[node.node_id] = node.with_border(_checked_input(values, node.output_layout))
            else:
                written[node.node_id] = node.write([written[source] for source in node.inputs])
    return written


def _checked_input(values: npt.ArrayLike, layout: MemoryLayout) -> FloatArray:
    array = np.asarray(values, np.float32)
    if array.size != layout.size[0] * layout.size[1] * layout.size[2] or (
        array.ndim == 3 and array.shape != layout.size
    ):
        raise ValueError(f"the input has the shape {array.shape}, the model wants {layout.size}")
    return array.reshape(layout.size)
