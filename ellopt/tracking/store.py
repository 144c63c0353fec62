"""What delivery needs of a tracking store, in as few requests as possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from ellopt.files.user import user_name

_T = TypeVar("_T")

NOTE_TAG = "mlflow.note.content"  # what the UI shows as a description
_BATCH = 100  # parameters or tags in one request; MLflow's own limit
_METRICS = 500


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
