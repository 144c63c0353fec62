"""For which sizes of its inputs a model was tuned, where the file leaves them open: kept in the tuned file itself."""

from __future__ import annotations

import json
from typing import Any

from ellopt.model.graph import Model

Shape = tuple[int, ...]

#: In the metadata of a model: name of an input -> its sizes.
_KEY = "ellopt.input_shapes"


def keep_shapes(message: Any, model: Model) -> None:
    """Write into ``message``, the file of ``model``, the shapes of those inputs that it does not say itself."""
    said = {value.name: _said(value) for value in message.graph.input}
    open_ones = {port.name: list(port.shape) for port in model.inputs if said.get(port.name) != tuple(port.shape)}
    others = [entry for entry in message.metadata_props if entry.key != _KEY]
    del message.metadata_props[:]
    message.metadata_props.extend(others)
    if open_ones:
        message.metadata_props.add(key=_KEY, value=json.dumps(open_ones))


def kept_shapes(message: Any) -> dict[str, Shape]:
    """What ``keep_shapes`` wrote; nothing where that is not there, or not of its form."""
    text = next((entry.value for entry in message.metadata_props if entry.key == _KEY), "{}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    said = {value.name: _said(value) for value in message.graph.input}
    return {name: tuple(sizes) for name, sizes in found.items() if name in said and _is_shape(sizes, len(said[name]))}


def _is_shape(sizes: Any, rank: int) -> bool:
    """Whether these can be the sizes of an input of which the file says so many, or none."""
    shape = isinstance(sizes, list) and all(type(n) is int and 0 < n < 10**7 for n in sizes)
    return shape and len(sizes) == (rank or len(sizes))


def _said(value: Any) -> Shape:
    """The shape of an input as the file says it, 0 where it leaves a size open."""
    return tuple(d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim)
