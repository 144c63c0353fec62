"""The pyfunc of a registered model. MLflow keeps this file with the model and executes it where that is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from ellopt.deploy import load_predictor


class TunedModel(PythonModel):
    """Runs a tuned ELL model on this machine. The model is compiled for this CPU when it is loaded."""

    def load_context(self, context: PythonModelContext) -> None:
        self._predict = load_predictor(Path(context.artifacts["model"]))

    def predict(self, context: PythonModelContext, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """``model_input``: rows x columns x channels, float32. Returns the model's output, float32."""
        return self._predict(np.asarray(model_input, dtype=np.float32))


set_model(TunedModel())
