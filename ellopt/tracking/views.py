"""Saved views of MLflow's UI: the trials in a table sorted by latency, and as parallel coordinates.

The UI keeps a saved view as a tag of the experiment and lists it under "Views". That format is the UI's own; a version
that reads another one shows the views' names and an error, nothing worse.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TAG = "mlflow.sharedViewState."
_LAYERS = 16  # more axes than this cannot be told apart


@dataclass(frozen=True)
class SavedView:
    """``tag`` and ``value`` belong to the experiment; ``link`` leads there from any page of the UI."""

    title: str
    tag: str
    value: str
    link: str


def saved_views(
    name: str, experiment_id: str, parent_run_id: str, layers: Sequence[str], now_ms: int
) -> tuple[SavedView, ...]:
    """The views of the nested runs of one parent run. ``name`` is that of the parent run: a later run of the same name
    replaces them. ``layers`` are parameters, those that matter most first."""
    state: dict[str, Any] = {
        "searchFilter": f"tags.mlflow.parentRunId = '{parent_run_id}'",
        "orderByKey": "metrics.`latency_ms`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": _columns(layers[:_LAYERS]),
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
    }
    charts = state | _charts(layers[:_LAYERS])
    return (
        _view(name, "trials by latency", "TABLE", experiment_id, state, now_ms),
        _view(name, "layer choices against latency", "CHART", experiment_id, charts, now_ms),
    )


def _columns(layers: Sequence[str]) -> list[str]:
    tags = ("state", "winner", "best_trial", "reason")
    return ["metrics.`latency_ms`", *(f"tags.`{tag}`" for tag in tags), *(f"params.`{layer}`" for layer in layers)]


def _charts(layers: Sequence[str]) -> dict[str, Any]:
    section = "ellopt-section"
    parallel = {
        "uuid": "ellopt-parallel",
        "type": "PARALLEL",
        "runsCountToCompare": 10,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "selectedParams": list(layers),
        "selectedMetrics": ["latency_ms"],
        "showAllRuns": False,
    }
    bars = {
        "uuid": "ellopt-latency",
        "type": "BAR",
        "runsCountToCompare": 20,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "displayName": "latency_ms",
        "metricKey": "latency_ms",
    }
    sections = {
        "uuid": section,
        "name": "Choices for each layer against latency",
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "cardHeight": 480,
        "columns": 1,
    }
    return {"compareRunCharts": [parallel, bars], "compareRunSections": [sections]}


def _view(run_name: str, title: str, mode: str, experiment_id: str, state: Mapping[str, Any], now_ms: int) -> SavedView:
    name = f"{run_name}: {title}"
    key = f"ellopt{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    value = json.dumps({"name": name, "createdAt": now_ms, "updatedAt": now_ms, "state": f"deflate;{packed}"})
    link = (
        f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode={mode}"
        f"&viewStateShareKey={key}"
    )
    return SavedView(title, _TAG + key, value, link)
