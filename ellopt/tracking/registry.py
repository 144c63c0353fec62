"""Registers a tuned model in the MLflow Model Registry as a pyfunc: NumPy array in, NumPy array out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

import ellopt
from ellopt.tracking.record import Registration

#: what running a model needs beside ellopt itself, whose code travels with the model
_REQUIREMENTS = ("mlflow", "numpy", "onnx", "orjson", "ziglang")


def register(client: MlflowClient, run_id: str, registration: Registration, outbox: Path) -> str:
    """Log the model to the run and register it; returns its version.

    The model is stored as the ``.ell`` file and this version of ellopt: it is compiled where it is loaded, so it
    always suits the CPU there. Done again for the same run, it returns the version made before.
    """
    for found in client.search_model_versions(f"run_id = '{run_id}'"):
        if found.name == registration.name:
            return str(found.version)
    run = client.get_run(run_id)
    mlflow.set_experiment(experiment_id=run.info.experiment_id)  # where MLflow lists the model
    package = Path(ellopt.__file__).parent
    info = Model.log(
        artifact_path=None,
        name="tuned-model",
        flavor=mlflow.pyfunc,
        run_id=run_id,
        step=registration.step,
        registered_model_name=registration.name,
        await_registration_for=30,
        loader_module="ellopt.deploy.pyfunc",
        data_path=str((outbox / registration.model).resolve()),
        code_paths=[str(package)],
        signature=_signature(registration.shape),
        pip_requirements=[_requirement(name) for name in _REQUIREMENTS],
    )
    version = str(info.registered_model_version)
    client.update_model_version(registration.name, version, _description(run, registration.shape))
    return version


def _description(run: Run, shape: tuple[int, ...]) -> str:
    """For a reader of the registry: what this is, how fast, how to run it."""
    tags, metrics = run.data.tags, run.data.metrics
    lines = [
        f"{tags.get('model', 'A model')} with the fastest way for each layer, tuned for {tags.get('target', '?')}."
    ]
    if "latency_ms" in metrics and "default_latency_ms" in metrics:
        lines.append(f"{metrics['default_latency_ms']:.3f} ms → {metrics['latency_ms']:.3f} ms a pass there.")
    size = " x ".join(map(str, shape)) or "rows x columns x channels"
    lines.append(
        f"`mlflow.pyfunc.load_model(...)` compiles it for the machine it is loaded on; `predict` takes one "
        f"float32 array of {size}."
    )
    return " ".join(lines)


def _signature(shape: tuple[int, ...]) -> ModelSignature | None:
    """One image of rows x columns x channels, as ``ellopt predict`` takes it, and an output of as many dimensions."""
    if not shape:
        return None
    kind = np.dtype(np.float32)
    return ModelSignature(Schema([TensorSpec(kind, shape)]), Schema([TensorSpec(kind, (-1, -1, -1))]))


def _requirement(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name
