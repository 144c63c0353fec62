"""What no run could have written, though its types are right: the parts of a report contradict each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from ellopt.core.statistics import Comparison
from ellopt.core.trial import TrialState
from ellopt.select.decisions import LayerReport

if TYPE_CHECKING:
    from ellopt.report.document import TuningReport

Value = TypeVar("Value")

#: in whatever unit a report has it
_LONGEST = 1e9
#: estimates of parts may add up to more than the whole, but not to much more
_LARGEST_SHARE = 10.0


def cross_check(report: TuningReport) -> None:
    """Raise ValueError, which names the field, for the first thing that contradicts another."""
    node_ids = _unique("layers", "node_id", (layer.node_id for layer in report.layers))
    for index, layer in enumerate(report.layers):
        _layer(layer, f"layers[{index}]")
    _trials(report, node_ids)
    _confirmation(report, node_ids)
    _costs(report)
    _nodes(report, node_ids)
    _require("space.distinct_by_layer", set(report.space.distinct_by_layer) <= node_ids, "names layers that are none")
    try:
        datetime.fromisoformat(report.created)
    except ValueError:
        raise ValueError(f"created: {report.created[:60]!r} is no date") from None


def _layer(layer: LayerReport, where: str) -> None:
    options = _unique(f"{where}.variants", "options", (variant.options for variant in layer.variants))
    for name in ("winner", "default", "runner_up"):
        chosen = getattr(layer, name)
        if chosen is not None:
            _require(f"{where}.{name}", chosen in options, f"'{chosen}' is not among the variants")
    _times(f"{where}.winner_ms", [layer.winner_ms])
    _times(f"{where}.default_ms", [layer.default_ms])
    _share(f"{where}.share_of_model", layer.share_of_model)
    for index, variant in enumerate(layer.variants):
        place = f"{where}.variants[{index}]"
        _times(f"{place}.samples_ms", variant.samples_ms)
        _times(f"{place}.decided_ms", variant.decided_ms)
        _times(f"{place}.median_ms", [variant.median_ms])
        tried = variant.state in ("measured", "pruned")
        _require(f"{place}.samples_ms", tried or not variant.samples_ms, f"a variant that is {variant.state} has some")
    for name in ("against_default", "against_runner_up"):
        _comparison(f"{where}.{name}", getattr(layer, name))


def _trials(report: TuningReport, node_ids: set[str]) -> None:
    _unique("trials", "number", (trial.number for trial in report.trials))
    for index, trial in enumerate(report.trials):
        where = f"trials[{index}]"
        _require(f"{where}.number", 0 <= trial.number < _LONGEST, "is impossible")
        _require(f"{where}.plan", set(trial.plan) == node_ids, "is not of the layers of the model")
        _require(f"{where}.layers_ms", set(trial.layers_ms) <= node_ids, "names layers that are none")
        failed = trial.state is TrialState.FAILED
        _require(f"{where}.total_ms", failed == (trial.total_ms is None), f"does not fit a trial that is {trial.state}")
        _times(f"{where}.total_ms", [trial.total_ms])
        _times(f"{where}.best_total_ms", [trial.best_total_ms])
        _times(f"{where}.board_seconds", [trial.board_seconds])
        _times(f"{where}.layers_ms", trial.layers_ms.values())
        _require(f"{where}.started_s", abs(trial.started_s) < _LONGEST, "is impossible")


def _confirmation(report: TuningReport, node_ids: set[str]) -> None:
    confirmation = report.confirmation
    names = _unique("confirmation.candidates", "name", (whole.name for whole in confirmation.candidates))
    for index, whole in enumerate(confirmation.candidates):
        where = f"confirmation.candidates[{index}]"
        _require(f"{where}.plan", set(whole.plan) == node_ids, "is not of the layers of the model")
        _times(f"{where}.latency_ms", [whole.latency_ms])
        for field in ("samples_ms", "turns_ms", "modes_ms"):
            _times(f"{where}.{field}", getattr(whole, field))
    for field in ("chosen", "before"):
        name = getattr(confirmation, field)
        _require(f"confirmation.{field}", not names or name in names, f"{name!r} is not among the candidates")
    _require("confirmation.visits", confirmation.visits >= 0, "is negative")
    _comparison("confirmation.against_before", confirmation.against_before)


def _costs(report: TuningReport) -> None:
    found = Counter(trial.state for trial in report.trials)
    for state in TrialState:
        field = f"trials_{state}"
        counted = getattr(report.cost, field)
        _require(f"cost.{field}", counted == found[state], f"is {counted}, but {found[state]} trials are {state}")
    for field, value in vars(report.cost).items():
        if isinstance(value, (int, float)):
            _times(f"cost.{field}", [value])
    for field in ("runs", "retries"):
        _times(f"boards.{field}", [getattr(report.boards, field)])
    _times("boards.boards", report.boards.boards.values())


def _nodes(report: TuningReport, layers: set[str]) -> None:
    node_ids = _unique("nodes", "node_id", (node.node_id for node in report.nodes))
    _require("nodes", not node_ids or layers <= node_ids, "lack layers of the model")
    for index, node in enumerate(report.nodes):
        where = f"nodes[{index}]"
        _require(f"{where}.inputs", set(node.inputs) <= node_ids, "names nodes that are none")
        _require(f"{where}.fused_into", not node.fused_into or node.fused_into in node_ids, "names a node that is none")
        _times(f"{where}.median_ms", [node.median_ms])
        _share(f"{where}.share_of_model", node.share_of_model)


def _require(where: str, holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{where}: {what}")


def _unique(where: str, field: str, values: Iterable[Value]) -> set[Value]:
    found: set[Value] = set()
    for index, value in enumerate(values):
        _require(f"{where}[{index}].{field}", value not in found, f"{value!r} was there before")
        found.add(value)
    return found


def _times(where: str, values: Iterable[float | None]) -> None:
    _require(where, all(v is None or 0 <= v < _LONGEST for v in values), "negative or impossibly large")


def _share(where: str, share: float) -> None:
    _require(where, 0 <= share < _LARGEST_SHARE, "a share of the model is impossible")


def _comparison(where: str, comparison: Comparison | None) -> None:
    if comparison is not None:
        _require(f"{where}.p_value", 0 <= comparison.p_value <= 1, "is no probability")
        ordered = comparison.gain_low <= comparison.gain_high + 1e-6
        _require(f"{where}.gain_low", ordered, "the interval ends before it begins")
