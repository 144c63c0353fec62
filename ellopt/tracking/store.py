"""What delivery needs of a tracking store, in as few requests as possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from ellopt.files.user import user_name
from ellopt.tracking.folder import artifact_location
from ellopt.tracking.record import Destination

_T = TypeVar("_T")

NOTE_TAG = "mlflow.note.content"  # what the UI shows as a description
_BATCH = 100  # parameters or tags in one request; MLflow's own limit
_METRICS = 500
_EXPERIMENT_NOTE = (
    "Each run is one model that ellopt tuned for one target; its nested runs are the trials. **Views** (above) holds, "
    "for each run, the trials sorted by latency and the parallel coordinates of layer choices against latency; the "
    "run's description links there too. The fastest confirmed combination carries the tag `winner`."
)


def log_values(
    client: MlflowClient,
    run_id: str,
    metrics: Sequence[Metric] = (),
    params: Sequence[Param] = (),
    tags: Sequence[RunTag] = (),
) -> None:
    """Log any number of values to a run."""
    empty: Sequence[Any] = ()
    groups = (_pieces(metrics, _METRICS), _pieces(params, _BATCH), _pieces(tags, _BATCH))
    for some_metrics, some_params, some_tags in zip_longest(*groups, fillvalue=empty):
        client.log_batch(run_id, metrics=some_metrics, params=some_params, tags=some_tags)


def _pieces(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def find_experiment(client: MlflowClient, destination: Destination) -> str:
    """The id of the experiment that is meant; it is made if it does not exist. Raises MlflowException if it was
    deleted."""
    if destination.experiment_id:
        return destination.experiment_id
    if (found := client.get_experiment_by_name(destination.experiment)) is not None:
        if found.lifecycle_stage != "active":
            raise MlflowException(
                f"the experiment {destination.experiment!r} was deleted: restore it, or name another with --experiment",
                RESOURCE_DOES_NOT_EXIST,
            )
        return str(found.experiment_id)
    tags = {NOTE_TAG: _EXPERIMENT_NOTE, "mlflow.experimentKind": "custom_model_development"}
    location = artifact_location(client.tracking_uri, destination.experiment)
    return client.create_experiment(destination.experiment, location, tags)


def matching(text: str) -> str:
    """``text`` as the right side of a condition in MLflow's search language, which has no way to escape a quote.

    A text with both kinds of quotes matches others, too, so what is found must be compared.
    """
    if "'" not in text:
        return f"= '{text}'"
    if '"' not in text:
        return f'= "{text}"'
    return "LIKE '" + text.replace("'", "_") + "'"


def standard_tags() -> dict[str, str]:
    """What MLflow's own fluent interface adds to a run."""
    return {"mlflow.source.name": "ellopt optimize", "mlflow.source.type": "LOCAL", "mlflow.user": user_name()}
