"""The experiment that runs stand in: found or made, described, and with the saved views of its runs."""

from __future__ import annotations

import logging
from collections.abc import Set
from dataclasses import replace

from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from ellopt.tracking.folder import artifact_location
from ellopt.tracking.record import Destination, Record
from ellopt.tracking.store import NOTE_TAG
from ellopt.tracking.views import TUNED, models_view, run_of_view, views_of_run

_LOG = logging.getLogger(__name__)

_NOTE = (
    "Each run is one model that ellopt tuned for one target; its nested runs are the trials. **Views** (above) holds, "
    "for each run, the trials sorted by latency and the parallel coordinates of layer choices against latency; the "
    "run's description links there too. The fastest confirmed combination carries the tag `winner`."
)
_KIND = "mlflow.experimentKind"
_TAGS = {NOTE_TAG: _NOTE, _KIND: "custom_model_development"}
_PAGE = 1000  # runs in one answer


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
    location = artifact_location(client.tracking_uri, destination.experiment)
    return client.create_experiment(destination.experiment, location, _TAGS)


def describe_experiment(client: MlflowClient, experiment_id: str) -> None:
    """Say what the experiment holds, and that it is one of model training, unless somebody has said so already.

    Where a store refuses, the experiment stays as it is.
    """
    tags = client.get_experiment(experiment_id).tags
    if _guessed(tags.get(_KIND, "")):
        tags = {key: value for key, value in tags.items() if key != _KIND}
    try:
        for key in _TAGS.keys() - tags.keys():
            client.set_experiment_tag(experiment_id, key, _TAGS[key])
    except MlflowException as error:
        _LOG.debug("the experiment %s was not described: %s", experiment_id, error)


def _guessed(kind: str) -> bool:
    """Whether the UI took the kind from the first it saw there, which nobody confirmed."""
    return kind == "no_inferred_type" or kind.endswith("_inferred")


def publish_views(client: MlflowClient, experiment_id: str, run_id: str, record: Record) -> Record:
    """Save views of the nested runs of ``run_id`` in the experiment, and one of all its models; the record with links
    to them in its description.

    Views of runs that are there no more are taken away.
    """
    name = client.get_run(run_id).info.run_name
    parents = client.search_runs([experiment_id], "tags.kind = 'model'", ViewType.ACTIVE_ONLY, max_results=_PAGE)
    metrics = {metric for run in parents for metric in run.data.metrics} | record.metrics.keys()
    places = sorted(metric.removeprefix(TUNED) for metric in metrics if metric.startswith(TUNED))
    views = (
        *views_of_run(name, experiment_id, run_id, record.views, record.end_ms),
        models_view(experiment_id, places, record.end_ms),
    )
    for view in views:
        client.set_experiment_tag(experiment_id, view.tag, view.value)
    _prune_views(client, experiment_id, {run.info.run_id for run in parents})
    links = " · ".join(f"[{view.title}]({view.link})" for view in views)
    note = record.tags.get(NOTE_TAG, "").replace("{views}", links)
    return replace(record, tags={**record.tags, NOTE_TAG: note})


def _prune_views(client: MlflowClient, experiment_id: str, alive: Set[str]) -> None:
    """Take away the saved views of runs that were deleted; some that were not are ``alive``. A store that cannot keeps
    them."""
    owners = {tag: run_id for tag in client.get_experiment(experiment_id).tags if (run_id := run_of_view(tag))}
    try:
        gone = {run_id for run_id in set(owners.values()) - alive if not _active(client, run_id)}
        for tag in (tag for tag, run_id in owners.items() if run_id in gone):
            client.delete_experiment_tag(experiment_id, tag)
    except (MlflowException, AttributeError) as error:  # early versions of MLflow 3 delete none
        _LOG.debug("saved views were not taken away: %s", error)


def _active(client: MlflowClient, run_id: str) -> bool:
    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
