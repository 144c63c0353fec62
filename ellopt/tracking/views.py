"""Saved views of MLflow's UI: a run's trials in a table sorted by latency, and as parallel coordinates; all models.

The UI keeps a saved view as a tag of the experiment and lists it under "Views". That format is the UI's own; a version
that reads another one shows the views' names and an error, nothing worse.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_TAG = "mlflow.sharedViewState."
_OURS = "ellopt-"
_TRIALS, _CHOICES, _MODELS = "trials", "choices", "all-models"
#: begins the parent runs' metrics of latencies that can be compared: on one kind of board, measured alike
TUNED = "tuned_ms/"
_NARROWEST = 110  # pixels of a column
_LAYERS = 16  # more axes than this cannot be told apart
#: opens MLflow's UI in its mode for model training, whatever mode it was in
_MODE = "workflowType=machine_learning"
_ARE_MODELS = "tags.kind = 'model'"
_SECTION = "ellopt-section"
_STATE: Mapping[str, Any] = {
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "runsHiddenMode": "SHOWALL",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
}


@dataclass(frozen=True)
class SavedView:
    """``tag`` and ``value`` belong to the experiment; ``link`` leads there from any page of the UI."""

    title: str
    tag: str
    value: str
    link: str


def experiments_page() -> str:
    """The list of experiments, from any page of the UI."""
    return f"#/experiments?{_MODE}"


def run_page(experiment_id: str, run_id: str) -> str:
    """The page of a run, from any page of the UI."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{_MODE}"


def trials_page(experiment_id: str, run_id: str) -> str:
    """The saved view of a run's trials by latency, from any page of the UI."""
    return _link(experiment_id, "TABLE", f"{_OURS}{_TRIALS}-{run_id}")


def choices_page(experiment_id: str, run_id: str) -> str:
    """The saved view of a run's choices against latency, from any page of the UI."""
    return _link(experiment_id, "CHART", f"{_OURS}{_CHOICES}-{run_id}")


def all_models_page(experiment_ids: Sequence[str]) -> str:
    """What the models came to that were tuned in these experiments, from any page of the UI."""
    if len(experiment_ids) == 1:
        return _link(experiment_ids[0], "TABLE", _OURS + _MODELS)
    ids = quote(json.dumps(list(experiment_ids), separators=(",", ":")))
    order = f"orderByKey={quote('attributes.start_time')}&orderByAsc=false"
    return f"#/compare-experiments/s?experiments={ids}&{_MODE}&searchFilter={quote(_ARE_MODELS)}&{order}"


def run_of_view(tag: str) -> str:
    """The run whose saved view a tag of an experiment is, empty if it is none of ours."""
    kind, _, run_id = tag.removeprefix(_TAG + _OURS).partition("-")
    return run_id if tag.startswith(_TAG + _OURS) and kind in (_TRIALS, _CHOICES) else ""


def views_of_run(
    name: str, experiment_id: str, run_id: str, layers: Sequence[str], now_ms: int
) -> tuple[SavedView, ...]:
    """The views of the nested runs of a parent run, which they belong to. ``name`` is that of the parent run.
    ``layers`` are parameters, those that matter most first."""
    columns = [
        "metrics.`latency_ms`",
        *(f"tags.`{tag}`" for tag in ("state", "winner", "best_trial", "reason")),
        *(f"params.`{layer}`" for layer in layers[:_LAYERS]),
    ]
    state = {
        **_STATE,
        **_table(columns),
        "searchFilter": f"tags.mlflow.parentRunId = '{run_id}'",
        "orderByKey": "metrics.`latency_ms`",
        "orderByAsc": True,
    }
    parallel = _card("PARALLEL", "ellopt-parallel", 10) | {
        "selectedParams": list(layers[:_LAYERS]),
        "selectedMetrics": ["latency_ms"],
        "showAllRuns": False,
    }
    charts = state | _charts("Choices for each layer against latency", 1, 480, [parallel, _bars("latency_ms")])
    run = f"{name}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(now_ms / 1000))}"
    trials, choices = (f"{_OURS}{kind}-{run_id}" for kind in (_TRIALS, _CHOICES))
    return (
        _view(run, "trials by latency", "TABLE", experiment_id, trials, state, now_ms),
        _view(run, "layer choices against latency", "CHART", experiment_id, choices, charts, now_ms),
    )


def models_view(experiment_id: str, places: Sequence[str], now_ms: int) -> SavedView:
    """The view of the parent runs: what each model came to. Each of ``places`` where models were timed has a chart of
    its own, for times of different machines say nothing beside each other; gains do."""
    columns = [
        *(f"tags.`{tag}`" for tag in ("model", "target")),
        *(f"metrics.`{metric}`" for metric in ("default_latency_ms", "latency_ms", "gain_percent")),
        "attributes.`Created`",
        "tags.`state`",
    ]
    state = {
        **_STATE,
        **_table(columns),
        "searchFilter": _ARE_MODELS,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
    }
    metrics = ("gain_percent", *(TUNED + place for place in places))
    charts = _charts("Gain of each model, and its latency by target", 2, 320, [_bars(metric) for metric in metrics])
    return _view("", "all models", "TABLE", experiment_id, _OURS + _MODELS, state | charts, now_ms)


def _table(columns: Sequence[str]) -> dict[str, Any]:
    """Columns in this order, wide enough to read their names."""
    widths = {column: max(_NARROWEST, 8 * len(column) - 40) for column in columns}
    return {"selectedColumns": list(columns), "columnOrder": list(columns), "columnWidths": widths}


def _card(kind: str, uuid: str, runs: int) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "type": kind,
        "runsCountToCompare": runs,
        "metricSectionId": _SECTION,
        "deleted": False,
        "isGenerated": False,
    }


def _bars(metric: str) -> dict[str, Any]:
    return _card("BAR", f"ellopt-{metric}", 20) | {"displayName": metric, "metricKey": metric}


def _charts(title: str, columns: int, height: int, cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    section = {
        "uuid": _SECTION,
        "name": title,
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "cardHeight": height,
        "columns": columns,
    }
    return {"compareRunCharts": list(cards), "compareRunSections": [section]}


def _view(
    run: str, title: str, mode: str, experiment_id: str, key: str, state: Mapping[str, Any], now_ms: int
) -> SavedView:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    name = f"{run}: {title}" if run else title
    value = json.dumps({"name": name, "createdAt": now_ms, "updatedAt": now_ms, "state": f"deflate;{packed}"})
    return SavedView(title, _TAG + key, value, _link(experiment_id, mode, key))


def _link(experiment_id: str, mode: str, key: str) -> str:
    return f"#/experiments/{experiment_id}/runs?{_MODE}&compareRunsMode={mode}&viewStateShareKey={key}"
