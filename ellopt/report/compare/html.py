"""A comparison of two runs as a self-contained page."""

from __future__ import annotations

from markupsafe import Markup

from ellopt import __version__
from ellopt.report import words
from ellopt.report.charts import Strip, method_class, strip_chart
from ellopt.report.compare.compare import LayerDifference, ReportComparison, drift_remark, headline
from ellopt.report.compare.text import describe_run
from ellopt.report.document import TuningReport
from ellopt.report.pages import templates
from ellopt.select.decisions import LayerReport, WholeModel


def render_comparison(comparison: ReportComparison) -> str:
    """The page as text; everything in it that comes from the reports is escaped."""
    charts = [_layer_chart(i, layer) for i, layer in enumerate(comparison.layers)]
    return (
        templates()
        .get_template("comparison.html")
        .render(
            comparison=comparison,
            version=__version__,
            sides=[("A", describe_run(comparison.a)), ("B", describe_run(comparison.b))],
            headline=headline(comparison),
            drift=drift_remark(comparison),
            whole=Markup(_whole_chart(comparison)),
            rows=list(zip(comparison.layers, map(Markup, charts), strict=True)),
            unit=words.unit_of(x.winner_ms for d in comparison.layers for x in (d.a, d.b) if x),
        )
    )


def _whole_chart(comparison: ReportComparison) -> str:
    strips = [
        Strip(
            f"{side}: {candidate.name}",
            candidate.turns_ms or candidate.samples_ms,
            class_,
            score_ms=candidate.latency_ms,
        )
        for side, report, class_ in (("A", comparison.a, "m-other"), ("B", comparison.b, "m-chosen"))
        for candidate in _confirmed(report)
    ]
    return strip_chart("whole-model", "The whole model before and after in both runs", strips)


def _confirmed(report: TuningReport) -> list[WholeModel]:
    wanted = (report.confirmation.before, report.confirmation.chosen)
    return [c for c in report.confirmation.candidates if c.name in wanted]


def _layer_chart(index: int, layer: LayerDifference) -> str:
    sides = [(side, x) for side, x in (("A", layer.a), ("B", layer.b)) if x]
    strips = [strip for side, x in sides for strip in _strips(side, x)]
    return strip_chart(f"layer-chart-{index}", f"The winners of layer {layer.title}", strips)


def _strips(side: str, layer: LayerReport) -> list[Strip]:
    return [
        Strip(
            f"{side}: {v.options}", v.decided_ms or v.samples_ms, method_class(v.options.method), score_ms=v.median_ms
        )
        for v in layer.variants
        if v.options == layer.winner
    ]
