"""How objects stand in a report's document: options as their texts, a trial by its medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.trial import Trial, TrialState, Visit
from ellopt.files.json_values import Form, decode
from ellopt.select.decisions import LayerReport
from ellopt.space.forms import OPTION_FORMS


@dataclass(frozen=True)
class _TrialEntry:
    number: int
    plan: Plan
    state: TrialState
    reason: str = ""
    total_ms: float | None = None
    layers_ms: Mapping[str, float] = field(default_factory=dict)
    board: str = ""  # the device's name
    board_seconds: float = 0.0
    started_s: float = 0.0
    best_total_ms: float | None = None


def _write_trial(trial: Trial) -> _TrialEntry:
    return _TrialEntry(
        number=trial.number,
        plan=trial.plan,
        state=trial.state,
        reason=trial.reason,
        total_ms=trial.total_ms,
        layers_ms=trial.layers_ms,
        board=trial.device,
        board_seconds=trial.board_seconds,
        started_s=trial.started_s,
        best_total_ms=trial.best_total_ms,
    )


def _read_trial(value: object, where: str) -> Trial:
    """A trial whose one pass has the medians of all that were made. Raises ValueError."""
    entry = decode(_TrialEntry, value, where, _PARTS)
    samples = None
    if entry.total_ms is not None:
        layers_ms = {node_id: (ms,) for node_id, ms in entry.layers_ms.items()}
        samples = PlanSamples(entry.plan, (entry.total_ms,), layers_ms)
    return Trial(
        plan=entry.plan,
        samples=samples,
        visit=Visit("", entry.board, "") if entry.board else None,
        state=entry.state,
        reason=entry.reason,
        board_seconds=entry.board_seconds,
        number=entry.number,
        started_s=entry.started_s,
        best_total_ms=entry.best_total_ms,
    )


_NONE_IS_EMPTY = ("runner_up", "ell_options")


def _write_layer(layer: LayerReport) -> dict[str, object]:
    """Options that there are none of stand as an empty text."""
    entries = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return {name: "" if value is None and name in _NONE_IS_EMPTY else value for name, value in entries.items()}


def _read_layer(value: object, where: str) -> LayerReport:
    if isinstance(value, dict):
        value = {name: None if item == "" and name in _NONE_IS_EMPTY else item for name, item in value.items()}
    return decode(LayerReport, value, where, _PARTS)


_PARTS = {**OPTION_FORMS, Trial: Form(_write_trial, _read_trial)}
FORMS = _PARTS | {LayerReport: Form(_write_layer, _read_layer)}
