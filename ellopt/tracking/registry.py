"""Registers a tuned model in the MLflow Model Registry as a pyfunc: NumPy array in, NumPy array out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

import ellopt
from ellopt.tracking.record import Registration

CHAMPION = "champion"
_ABOUT = "Networks with the fastest way for each layer, found by ellopt. The alias `champion` is the version to use."
#: what running a model needs beside ellopt itself, whose code travels with the model
_REQUIREMENTS = ("mlflow", "numpy", "onnx", "orjson", "ziglang")


def register(client: MlflowClient, run_id: str, registration: Registration, outbox: Path) -> str:
    """Log the model to the run and register it; returns its version.

    The model is stored as the ``.ell`` file and this version of ellopt: it is compiled where it is loaded, so it
    always suits the CPU there. Done again for the same run, it goes on with the version made before. The alias
    ``champion`` goes to it, unless it is a faster version's of the same model for the same target.
    """
    name = registration.name
    run = client.get_run(run_id)
    made = [found for found in client.search_model_versions(f"run_id = '{run_id}'") if found.name == name]
    version = str(made[0].version) if made else _log(run, registration, outbox)
    client.update_model_version(name, version, _description(run, registration))
    for key, value in registration.tags.items():
        client.set_model_version_tag(name, version, key, value)
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, _ABOUT)
    if _is_champion(client, registration):
        client.set_registered_model_alias(name, CHAMPION, version)
    return version


def _log(run: Run, registration: Registration, outbox: Path) -> str:
    mlflow.set_experiment(experiment_id=run.info.experiment_id)  # where MLflow lists the model
    info = Model.log(
        artifact_path=None,
        name="tuned-model",
        flavor=mlflow.pyfunc,
        run_id=run.info.run_id,
        step=registration.step,
        registered_model_name=registration.name,
        await_registration_for=30,
        loader_module="ellopt.deploy.pyfunc",
        data_path=str((outbox / registration.model).resolve()),
        code_paths=[str(Path(ellopt.__file__).parent)],
        signature=_signature(registration.inputs),
        metadata={"input_shape": list(registration.shape), **registration.tags},
        pip_requirements=[_requirement(name) for name in _REQUIREMENTS],
    )
    return str(info.registered_model_version)


def _is_champion(client: MlflowClient, registration: Registration) -> bool:
    """Whether there is no faster champion that it can be compared with."""
    try:
        champion = client.get_model_version_by_alias(registration.name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return True
    ours, theirs = registration.tags, champion.tags
    alike = all(ours.get(key) == theirs.get(key) for key in ("model_sha256", "target"))
    times = [float(tags.get("latency_ms", "inf")) for tags in (ours, theirs)]
    return not alike or times[0] <= times[1]


def _description(run: Run, registration: Registration) -> str:
    """For a reader of the registry: what this is, how fast, how to run it."""
    tags, metrics = run.data.tags, run.data.metrics
    lines = [
        f"{tags.get('model', 'A model')} with the fastest way for each layer, tuned for {tags.get('target', '?')}."
    ]
    if "latency_ms" in metrics and "default_latency_ms" in metrics:
        lines.append(f"{metrics['default_latency_ms']:.3f} ms → {metrics['latency_ms']:.3f} ms a pass there.")
    size = " x ".join(map(str, registration.shape)) or "rows x columns x channels"
    given = f"an array of {size}, or a batch of them,"
    if len(registration.inputs) > 1:
        given = f"arrays by the names {', '.join(registration.inputs)}, or batches of them,"
    lines.append(
        f"`mlflow.pyfunc.load_model(...)` compiles it for the machine it is loaded on; `predict` takes {given} "
        f"of any type of numbers, and so does `mlflow models serve`."
    )
    return " ".join(lines)


def _signature(inputs: tuple[str, ...]) -> ModelSignature:
    """Any arrays of numbers, by name if there are several.

    MLflow takes a type of numbers, and a number of axes, for that one alone, but for this. What is given is checked by
    the model itself.
    """
    names = inputs if len(inputs) > 1 else (None,)
    return ModelSignature(Schema([TensorSpec(np.dtype(object), (-1,), name) for name in names]))


def _requirement(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name
