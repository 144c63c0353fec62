"""What a report and a comparison come to, as data for other programs: the numbers of the tables, unrounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ellopt.report import words
from ellopt.report.compare.compare import ReportComparison, headline
from ellopt.report.document import TuningReport
from ellopt.report.explain import layer_gain, model_gain, verdict


def report_summary(report: TuningReport, directory: Path | None = None) -> dict[str, Any]:
    """The closing table. Times are milliseconds; gains are shares of the default's time that are saved, or null."""
    before, after = words.before_and_after(report)
    return {
        "model": report.model,
        "target": report.target,
        "directory": None if directory is None else str(directory),
        "files": list(report.files),
        "emulated": report.emulated,
        "estimated": report.estimate is not None,
        "default_ms": before,
        "tuned_ms": after,
        "gain": model_gain(report),
        "mlflow_run": dict(report.mlflow_run),
        "layers": [
            {
                "id": layer.node_id,
                "name": layer.name,
                "winner": str(layer.winner),
                "ms": layer.winner_ms,
                "default_ms": layer.default_ms,
                "gain": layer_gain(layer),
                "verdict": verdict(layer),
                "why": layer.why,
            }
            for layer in report.layers
        ],
    }


def comparison_summary(comparison: ReportComparison) -> dict[str, Any]:
    """The comparison of two runs. ``change``: how much less time B's winner takes, as a share of A's, or null."""
    return {
        "a": report_summary(comparison.a),
        "b": report_summary(comparison.b),
        "comparable": comparison.comparable,
        "unlike": list(comparison.unlike),
        "headline": headline(comparison),
        "layers": [
            {
                "layer": layer.title,
                "a": None if layer.a is None else {"winner": str(layer.a.winner), "ms": layer.a.winner_ms},
                "b": None if layer.b is None else {"winner": str(layer.b.winner), "ms": layer.b.winner_ms},
                "change": None if layer.comparison is None else layer.comparison.gain,
                "verdict": layer.verdict,
            }
            for layer in comparison.layers
        ],
    }
