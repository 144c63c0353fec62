"""Loads a registered model: MLflow imports this module, from the code kept with the model, where that is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ellopt.deploy.library import load_predictor


class TunedModel:
    """A tuned model, compiled for the CPU of this machine."""

    def __init__(self, path: Path) -> None:
        self._predict = load_predictor(path)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """``model_input``: rows x columns x channels, float32, or the shape that an ONNX model says. Returns the
        model's output, likewise.

        Raises ConfigurationError for an input of another size.
        """
        return self._predict(np.asarray(model_input, dtype=np.float32))


def _load_pyfunc(path: str) -> TunedModel:
    """MLflow's entry: ``path`` is the model's file in the registered model."""
    return TunedModel(Path(path))
