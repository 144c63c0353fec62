"""A model's inputs and outputs by their names: put together to the one array that programs take, and taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.core.errors import ConfigurationError
from ellopt.files.terminal import printable
from ellopt.model.graph import Model, Port
from ellopt.model.layers import FloatArray

Inputs = npt.ArrayLike | Mapping[str, Any]


def joined(model: Model, values: Inputs) -> FloatArray:
    """The inputs one after another, flat, float32.

    ``values``: an array by the name of each input, or the array of the only one; each of its input's shape, or flat in
    that order. Raises ConfigurationError for missing and unknown names, other shapes, and what are no numbers.
    """
    ports = model.input_ports
    if not isinstance(values, Mapping):
        if len(ports) != 1:
            raise ConfigurationError(f"{model.path} has {len(ports)} inputs, {_names(ports)}: give each by its name")
        return _checked(model, ports[0], values)
    known = {port.name for port in ports}
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{model.path} has no input {printable(name)}; there are: {_names(ports)}")
    missing = [port for port in ports if port.name not in values]
    if missing:
        raise ConfigurationError(f"the input {_names(missing)} of {model.path} is missing")
    return np.concatenate([_checked(model, port, values[port.name]) for port in ports])


def parted(model: Model, output: FloatArray) -> dict[str, FloatArray]:
    """The outputs by their names, each of its shape."""
    flat = output.reshape(-1)
    return {p.name: flat[p.offset : p.offset + p.elements].reshape(p.shape) for p in model.output_ports}


def _names(ports: list[Port] | tuple[Port, ...]) -> str:
    return ", ".join(printable(port.name) for port in ports)


def _checked(model: Model, port: Port, values: Any) -> FloatArray:
    array = np.asarray(values)
    which = f"the input {printable(port.name)}" if model.inputs else "the input"
    if array.shape not in (port.shape, (array.size,)) or array.size != port.elements:
        shape = "x".join(map(str, array.shape))
        raise ConfigurationError(f"{which} has the shape {shape}; {model.path} takes {'x'.join(map(str, port.shape))}")
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ConfigurationError(f"{which} has elements of type {array.dtype}; numbers are needed")
    return np.asarray(array, np.float32).reshape(-1)
