"""Loads a registered model: MLflow imports this module, from the code kept with the model, where that is loaded."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ellopt.core.errors import ConfigurationError
from ellopt.deploy.library import Predictor
from ellopt.frontends.base import read_model

Shape = tuple[int, ...]


class TunedModel:
    """A tuned model, compiled for the CPU of this machine."""

    def __init__(self, path: Path) -> None:
        model = read_model(path)
        self._shapes: dict[str, Shape] = {port.name: tuple(port.shape) for port in model.input_ports}
        self._predict = Predictor(model)
        self._lock = threading.Lock()  # a server asks from several threads

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """``model_input``: rows x columns x channels, or the shape that an ONNX model says, of any type of numbers; by
        name where a model has several inputs. One such array, or a batch of them. Returns the model's output,
        float32, likewise.

        Raises ConfigurationError for an input of another size.
        """
        if isinstance(model_input, Mapping):
            given = {name: np.asarray(values, np.float32) for name, values in model_input.items()}
        else:
            given = {next(iter(self._shapes)): np.asarray(model_input, np.float32)}
        named = isinstance(model_input, Mapping)
        sizes = {name: self._batch(name, values) for name, values in given.items()}
        if len(set(sizes.values())) != 1:
            raise ConfigurationError(f"the inputs are batches of different sizes: {sizes}")
        (size,) = set(sizes.values())
        if size is None:
            return self._one(given, named)
        outputs = [
            self._one({name: values[i].reshape(self._shapes[name]) for name, values in given.items()}, named)
            for i in range(size)
        ]
        if isinstance(outputs[0], Mapping):
            return {name: self._joined([output[name] for output in outputs]) for name in outputs[0]}
        return self._joined(outputs)

    def _batch(self, name: str, values: Any) -> int | None:
        """How many arrays ``values`` holds; None if it is a single one, or none that is known."""
        shape = self._shapes.get(name)
        if shape is None or values.ndim == 0 or len(values) == 0:
            return None
        fits = values.shape[1:] == shape or (self._has_batch_axis(shape) and values.shape[1:] == shape[1:])
        return len(values) if fits and values.shape != shape else None

    @staticmethod
    def _has_batch_axis(shape: Shape) -> bool:
        """Whether a shape is that of ONNX, in which a batch, of 1, comes first."""
        return len(shape) > 1 and shape[0] == 1

    def _one(self, given: Mapping[str, Any], named: bool) -> Any:
        with self._lock:
            return self._predict(given if named else next(iter(given.values())))

    def _joined(self, outputs: list[Any]) -> Any:
        batched = all(map(self._has_batch_axis, self._shapes.values())) and self._has_batch_axis(outputs[0].shape)
        return np.concatenate(outputs) if batched else np.stack(outputs)


def _load_pyfunc(path: str) -> TunedModel:
    """MLflow's entry: ``path`` is the model's file in the registered model."""
    return TunedModel(Path(path))
