"""``tuning_report.html``: one self-contained page, readable without scripts and without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from markupsafe import Markup

from ellopt.report import words
from ellopt.report.charts import Step, Strip, method_class, progress_chart, strip_chart
from ellopt.report.deploying import deploy_commands
from ellopt.report.diagram import network_diagram
from ellopt.report.document import TuningReport
from ellopt.report.explain import (
    STATES,
    accurate,
    doubt,
    evidence,
    layer_gain,
    model_gain,
    ordered_variants,
    states,
    verdict,
    written,
)
from ellopt.report.pages import templates
from ellopt.report.thread_gain import thread_gains
from ellopt.select.decisions import LayerReport, VariantReport

#: Variants drawn per layer; all others are in the layer's table.
STRIPS_PER_LAYER = 10
#: Trials listed in the table of trials.
TRIALS_LISTED = 500


@dataclass(frozen=True)
class LayerView:
    """A layer as the page shows it."""

    layer: LayerReport
    verdict: str
    gain: float | None
    chart: Markup
    raw: Markup
    drawn: int
    variants: tuple[VariantReport, ...]
    counts: str


def render(report: TuningReport) -> str:
    """The page as text. Names in ``report`` are not trusted: they are escaped wherever they appear."""
    before, after = words.before_and_after(report)
    steps = progress_steps(report)
    return (
        templates()
        .get_template("tuning_report.html")
        .render(
            report=report,
            before=before,
            after=after,
            gain=model_gain(report),
            doubt=doubt(report),
            written=written(report),
            accurate=accurate(report),
            diagram=Markup(network_diagram(report)),
            layers=[_layer_view(index, layer) for index, layer in enumerate(report.layers)],
            whole=Markup(whole_model_chart(report)),
            whole_raw=Markup(whole_model_chart(report, raw=True)),
            evidence=evidence(report),
            states=states(report),
            progress=Markup(progress_chart("progress", steps, before)),
            unit=words.unit_of(x for layer in report.layers for x in (layer.winner_ms, layer.default_ms)),
            trials=report.trials[:TRIALS_LISTED],
            unlisted=max(0, len(report.trials) - TRIALS_LISTED),
            thread_gains=thread_gains(report),
            commands=deploy_commands(report),
        )
    )


def progress_steps(report: TuningReport) -> list[Step]:
    """The trials in order, each at the board-seconds spent when it was finished."""
    spent = accumulate(trial.board_seconds for trial in report.trials)
    return [
        Step(seconds, trial.total_ms, trial.state, trial.best_total_ms)
        for seconds, trial in zip(spent, report.trials, strict=True)
    ]


def _layer_view(index: int, layer: LayerReport) -> LayerView:
    variants = ordered_variants(layer)
    shown = [v for v in variants if v.samples_ms and v.state == "measured" and not v.seldom][:STRIPS_PER_LAYER]
    for options in (layer.default, layer.runner_up):
        shown += [v for v in variants if v.options == options and v.samples_ms and v not in shown]
    strips = [_strip(layer, variant) for variant in shown]
    what = layer.name or layer.node_id
    chart = strip_chart(f"variants-{index}", f"Measured variants of layer {what}", strips)
    raw = [replace(s, samples_ms=v.samples_ms, score_ms=None) for s, v in zip(strips, shown, strict=True)]
    return LayerView(
        layer=layer,
        verdict=verdict(layer),
        gain=layer_gain(layer),
        chart=Markup(chart),
        raw=Markup(strip_chart(f"raw-{index}", f"Raw samples of layer {what}", raw)),
        drawn=len(shown),
        variants=variants,
        counts=_counts(variants),
    )


def _strip(layer: LayerReport, variant: VariantReport) -> Strip:
    winner = variant.options == layer.winner
    marks = [
        word
        for word, holds in (
            ("winner", winner),
            ("default", variant.options == layer.default),
            ("unstable", variant.unstable),
            ("pruned", variant.state == "pruned"),
        )
        if holds
    ]
    return Strip(
        str(variant.options),
        variant.decided_ms or variant.samples_ms,
        method_class(variant.options.method),
        ", ".join(marks),
        strong=winner,
        hollow=variant.unstable,
        score_ms=variant.median_ms,
    )


def _counts(variants: Sequence[VariantReport]) -> str:
    parts = []
    for state in STATES:
        number = sum(v.state == state for v in variants)
        if number:
            parts.append(f"{number} {state}")
    return ", ".join(parts)


def whole_model_chart(report: TuningReport, raw: bool = False) -> str:
    """The confirmation's candidates; empty where none was measured. ``raw``: every pass instead of the turns."""
    confirmation = report.confirmation
    strips = []
    for candidate in sorted(confirmation.candidates, key=lambda whole: whole.latency_ms):
        marks = [
            word
            for word, holds in (
                ("chosen", candidate.name == confirmation.chosen),
                ("before", candidate.name == confirmation.before),
            )
            if holds
        ]
        strips.append(
            Strip(
                candidate.name,
                candidate.samples_ms if raw else candidate.turns_ms or candidate.samples_ms,
                "m-chosen" if candidate.name == confirmation.chosen else "m-other",
                ", ".join(marks),
                strong=candidate.name == confirmation.chosen,
                score_ms=None if raw else candidate.latency_ms,
            )
        )
    if raw:
        return strip_chart("whole-model-raw", "The whole model, every pass", strips)
    return strip_chart("whole-model", "The whole model, measured in turns", strips)
